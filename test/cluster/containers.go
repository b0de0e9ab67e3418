package cluster

import (
	"context"
	"fmt"
	"net"
	"os/exec"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/containers"
)

const nodeName = "node"

// startContainers starts a node as there are in production, and the scheduler
// which the other kind of node does without.
func (c *Cluster) startContainers(ctx context.Context, sandbox *containers.Sandbox) error {
	scheduler, err := c.componentKubeconfig("system:kube-scheduler")
	if err != nil {
		return err
	}
	if _, err := c.launch("kube-scheduler", "--kubeconfig="+scheduler, "--secure-port=0", "--leader-elect=false"); err != nil {
		return err
	}
	serving, err := c.authority.issue("kubelet")
	if err != nil {
		return err
	}
	if err := sandbox.Configure(containers.Files{CA: c.authority.file(), Cert: serving.cert, Key: serving.key}); err != nil {
		return fmt.Errorf("configuring the node: %w", err)
	}
	if err := c.startContainerd(ctx, sandbox); err != nil {
		return err
	}
	return c.startKubelet(ctx, sandbox)
}

func (c *Cluster) startContainerd(ctx context.Context, sandbox *containers.Sandbox) error {
	const name = "containerd"
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	c.programs[name] = path
	s, err := c.launch(name, sandbox.ContainerdArgs()...)
	if err != nil {
		return err
	}
	return s.await(ctx, func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", sandbox.Socket())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (c *Cluster) startKubelet(ctx context.Context, sandbox *containers.Sandbox) error {
	kubeconfig, err := c.componentKubeconfig("system:node:"+nodeName, "system:nodes")
	if err != nil {
		return err
	}
	s, err := c.launch("kubelet", sandbox.KubeletArgs(kubeconfig, nodeName)...)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	return s.await(ctx, func(ctx context.Context) error {
		node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("the node is not ready: %v", node.Status.Conditions)
	})
}
