// Package cluster starts a Kubernetes cluster on loopback, without root or
// containers: etcd, API server and controllers are built from source, and
// Pods are processes of this machine. GitHub is a stand-in. With root, on Linux,
// Pods can have real containers instead.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/containers"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/node"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/process"
)

// Options say what kind of cluster is wanted.
type Options struct {
	// Dir is the folder for the cluster's state, made if missing; if empty, a
	// temporary one, removed on Stop.
	Dir string
	// Images are what the node can run, by repository (without tag and digest).
	Images map[string]Image
	// Sandbox, if given, has the cluster with containerd and a kubelet instead,
	// which pull their images and end with the sandbox, not with Stop.
	Sandbox *containers.Sandbox
	// Progress gets lines for people, while things are built.
	Progress io.Writer
}

type (
	// Image maps paths inside an image to programs of this machine; "" is the
	// entrypoint.
	Image = node.Image
	// Program is what is run for a command of an image. Args come before the
	// container's own.
	Program = node.Program
)

// Cluster is a running cluster.
type Cluster struct {
	dir       string
	temporary bool
	programs  map[string]string

	keeper     *process.Keeper
	authority  *authority
	accounts   keyPair // signs service accounts' tokens
	etcd       string  // its address
	host       string  // what API server and GitHub are reached at by Pods
	port       string  // of the API server
	apiServer  *server
	admin      *rest.Config
	kubeconfig string
	node       *node.Node
	github     *github.StandIn
	stop       sync.Once
}

// What a cluster is built of, for Binary.
var (
	ControlPlane  = []string{"etcd", "kube-apiserver", "kube-controller-manager"}
	ContainerNode = []string{"kube-scheduler", "kubelet"} // with Options.Sandbox
)

// Start builds what is missing, and returns when the cluster is ready for
// Pods. Nothing of it is left when this program ends, whichever way.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{dir: o.Dir, programs: map[string]string{}}
	parts := ControlPlane
	if o.Sandbox != nil {
		parts = slices.Concat(ControlPlane, ContainerNode)
	}
	for _, name := range parts {
		path, err := Binary(ctx, name, o.Progress)
		if err != nil {
			return nil, err
		}
		c.programs[name] = path
	}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the cluster: %w", err), c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, o Options) error {
	if err := c.makeDir(); err != nil {
		return err
	}
	remove := ""
	if c.temporary {
		remove = c.dir
	}
	var err error
	if c.keeper, err = process.NewKeeper(remove); err != nil {
		return err
	}
	if c.authority, err = newAuthority(filepath.Join(c.dir, "certificates")); err != nil {
		return err
	}
	if c.accounts, err = c.authority.issue("service-accounts"); err != nil {
		return err
	}
	if c.admin, err = c.clientConfig("admin", "system:masters"); err != nil {
		return err
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.placeAPIServer(ctx, o.Sandbox); err != nil {
		return err
	}
	c.admin.Host = "https://127.0.0.1:" + c.port
	if c.kubeconfig, err = c.writeKubeconfig("kubeconfig", c.admin); err != nil {
		return err
	}
	if err := c.startControllerManager(); err != nil {
		return err
	}
	if c.github, err = github.Start(c.host); err != nil {
		return err
	}
	if o.Sandbox != nil {
		err = c.startContainers(ctx, o.Sandbox)
	} else {
		err = c.startNode(ctx, o.Images)
	}
	if err != nil {
		return err
	}
	return c.awaitDefaultAccount(ctx)
}

// placeAPIServer starts it where Pods look for it.
func (c *Cluster) placeAPIServer(ctx context.Context, sandbox *containers.Sandbox) error {
	if sandbox != nil {
		c.host, c.port = containers.NodeAddress, "443" // the Service's port
		return c.startAPIServer(ctx, c.port)
	}
	c.host = "127.0.0.1"
	return onFreePort(func(port string) error {
		c.port = port
		return c.startAPIServer(ctx, port)
	})
}

func (c *Cluster) startNode(ctx context.Context, images map[string]Image) error {
	logs, err := c.authority.serverTLS("node")
	if err != nil {
		return err
	}
	c.node, err = node.Start(ctx, node.Options{
		Config:  c.Config(),
		Dir:     filepath.Join(c.dir, "pods"),
		Images:  images,
		Keeper:  c.keeper,
		LogsTLS: logs,
	})
	return err
}

func (c *Cluster) makeDir() error {
	var err error
	if c.dir == "" {
		c.temporary = true
		c.dir, err = os.MkdirTemp("", "arc-cleanup-")
	} else if c.dir, err = filepath.Abs(c.dir); err == nil {
		err = os.MkdirAll(c.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	return nil
}

// awaitDefaultAccount waits for what every Pod needs in the namespace default.
func (c *Cluster) awaitDefaultAccount(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(corev1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("waiting for the default service account: %w\n%s", err,
			process.Tail(filepath.Join(c.dir, "kube-controller-manager.log"), 10))
	}
	return nil
}

// Stop ends the cluster. A state folder that was given stays. Only the first
// call does anything.
func (c *Cluster) Stop() error {
	var errs []error
	c.stop.Do(func() {
		if c.node != nil {
			c.node.Close()
		}
		if c.github != nil {
			errs = append(errs, c.github.Close())
		}
		if c.keeper != nil {
			errs = append(errs, c.keeper.Close())
		}
		if c.temporary {
			errs = append(errs, os.RemoveAll(c.dir))
		}
	})
	return errors.Join(errs...)
}

// Kubeconfig is the path of an administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Config is an administrator's, without a limit on the client's side.
func (c *Cluster) Config() *rest.Config {
	config := rest.CopyConfig(c.admin)
	config.QPS = -1
	return config
}

// GitHub is the cluster's own stand-in for GitHub.
func (c *Cluster) GitHub() *github.StandIn { return c.github }

// SetImage makes an image known to the node, or changes it for containers
// which are started from now on.
func (c *Cluster) SetImage(repository string, image Image) { c.node.SetImage(repository, image) }

// KillPod sends SIGKILL to the process of a Pod's container, which its restart
// policy may bring back.
func (c *Cluster) KillPod(namespace, pod, container string) error {
	return c.node.Kill(namespace, pod, container)
}

// StopAPIServer kills the API server, which would wait for its clients if it
// were asked to end. What it stored stays.
func (c *Cluster) StopAPIServer() {
	c.apiServer.Kill()
	<-c.apiServer.Done()
}

// StartAPIServer starts it again, at the same address.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	return c.startAPIServer(ctx, c.port)
}

// clientConfig makes a client's certificate. The address is not known yet.
func (c *Cluster) clientConfig(user string, groups ...string) (*rest.Config, error) {
	pair, err := c.authority.issue(user, groups...)
	if err != nil {
		return nil, err
	}
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{
		CAFile: c.authority.file(), CertFile: pair.cert, KeyFile: pair.key,
	}}
	if c.port != "" {
		config.Host = "https://127.0.0.1:" + c.port
	}
	return config, nil
}

// writeKubeconfig writes one that can be moved elsewhere.
func (c *Cluster) writeKubeconfig(name string, config *rest.Config) (string, error) {
	config = rest.CopyConfig(config)
	if err := rest.LoadTLSFiles(config); err != nil {
		return "", fmt.Errorf("reading the certificates for %s: %w", name, err)
	}
	const only = "arc-cleanup"
	file := clientcmdapi.NewConfig()
	file.Clusters[only] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[only] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	file.Contexts[only] = &clientcmdapi.Context{Cluster: only, AuthInfo: only}
	file.CurrentContext = only
	path := filepath.Join(c.dir, name+".yaml")
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	return path, nil
}
