// Package node is a Kubernetes node on which every container is a process of
// this machine.
//
// It does not know probes (what runs is ready), sidecars among the init
// containers, exec, and resource limits; a security context changes nothing,
// and volumes keep the content they had when the Pod was started.
package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	vk "github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/process"
)

const (
	name    = "node"
	address = "127.0.0.1"
	workers = 16 // Pods which are started or stopped at once
)

// Options are what a node needs of its cluster.
type Options struct {
	Config  *rest.Config // with the rights of an administrator
	Dir     string       // for the Pods' folders
	Images  map[string]Image
	Keeper  *process.Keeper
	LogsTLS *tls.Config // to serve containers' logs with
}

// Node is a running node.
type Node struct {
	client kubernetes.Interface
	config *rest.Config
	dir    string
	keeper *process.Keeper
	logs   *http.Server

	running context.Context // until stop is called
	stop    context.CancelFunc
	work    sync.WaitGroup // the goroutines which end then

	mu     sync.Mutex
	images map[string]Image
	pods   map[string]*pod // by namespace/name
}

// Start registers the node and returns when it is ready for Pods.
func Start(ctx context.Context, o Options) (*Node, error) {
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("starting the node: %w", err)
	}
	n := &Node{
		client: client,
		config: o.Config,
		dir:    o.Dir,
		keeper: o.Keeper,
		images: maps.Clone(o.Images),
		pods:   map[string]*pod{},
	}
	if n.images == nil {
		n.images = map[string]Image{}
	}
	listener, err := tls.Listen("tcp", net.JoinHostPort(address, "0"), o.LogsTLS)
	if err != nil {
		return nil, fmt.Errorf("serving logs: %w", err)
	}
	n.logs = &http.Server{Handler: n.logsHandler()}
	port := listener.Addr().(*net.TCPAddr).Port

	n.running, n.stop = context.WithCancel(context.Background())
	n.work.Go(func() { n.logs.Serve(listener) }) //nolint:errcheck // ends with Close
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("asking for the version of Kubernetes: %w", err)
	}
	if err := n.start(ctx, nodeObject(version.GitVersion, port)); err != nil {
		n.Close()
		return nil, fmt.Errorf("starting the node: %w", err)
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, object *corev1.Node) error {
	nodes, err := vk.NewNodeController(vk.NaiveNodeProvider{}, object, n.client.CoreV1().Nodes(),
		vk.WithNodeEnableLeaseV1(n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease), vk.DefaultLeaseDuration))
	if err != nil {
		return err
	}
	mine := informers.NewSharedInformerFactoryWithOptions(n.client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", name).String()
		}),
		informers.WithTransform(withoutEnvironment))
	// The controller would resolve the environment from these; it has none to
	// resolve, so they are never started.
	unused := informers.NewSharedInformerFactory(n.client, 0).Core().V1()
	pods, err := vk.NewPodController(vk.PodControllerConfig{
		PodClient:                            n.client.CoreV1(),
		PodInformer:                          mine.Core().V1().Pods(),
		EventRecorder:                        &record.FakeRecorder{}, // drops them
		Provider:                             n,
		ConfigMapInformer:                    unused.ConfigMaps(),
		SecretInformer:                       unused.Secrets(),
		ServiceInformer:                      unused.Services(),
		SyncPodsFromKubernetesRateLimiter:    prompt(),
		DeletePodsFromKubernetesRateLimiter:  prompt(),
		SyncPodStatusFromProviderRateLimiter: prompt(),
	})
	if err != nil {
		return err
	}
	mine.Start(n.running.Done())
	n.work.Go(func() { nodes.Run(n.running) })         //nolint:errcheck // its Err is looked at below
	n.work.Go(func() { pods.Run(n.running, workers) }) //nolint:errcheck // its Err is looked at below
	n.work.Go(func() { n.schedule(n.running) })
	for _, controller := range []interface {
		Ready() <-chan struct{}
		Done() <-chan struct{}
		Err() error
	}{nodes, pods} {
		select {
		case <-controller.Ready():
		case <-controller.Done():
			return controller.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// prompt is a rate limit that is felt only by what fails again and again.
func prompt() workqueue.RateLimiter { //nolint:staticcheck // the type the controller asks for
	return workqueue.NewItemExponentialFailureRateLimiter(time.Millisecond, time.Second) //nolint:staticcheck // likewise
}

// Close kills every container. The Node object stays as it is: the cluster
// ends too.
func (n *Node) Close() {
	n.stop()
	n.logs.Close() //nolint:errcheck // of the listener, which has no use any more
	n.work.Wait()
}

// SetImage makes an image known to the node, or changes it for the containers
// which are started from now on.
func (n *Node) SetImage(repository string, image Image) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.images[repository] = image
}

func (n *Node) image(reference string) (Image, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	image, ok := n.images[repository(reference)]
	return image, ok
}

// Kill sends SIGKILL to the processes of a container.
func (n *Node) Kill(namespace, pod, container string) error {
	p, ok := n.pod(namespace, pod)
	if !ok {
		return fmt.Errorf("pod %s/%s is not on the node", namespace, pod)
	}
	if !p.kill(container) {
		return fmt.Errorf("container %s of pod %s/%s does not run", container, namespace, pod)
	}
	return nil
}

func nodeObject(version string, logsPort int) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse(strconv.Itoa(runtime.NumCPU())),
		corev1.ResourceMemory:           resource.MustParse("64Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("64Gi"),
		corev1.ResourcePods:             resource.MustParse("1000"),
	}
	now := metav1.Now()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   runtime.GOOS,
				corev1.LabelArchStable: runtime.GOARCH,
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    resources,
			Allocatable: resources,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: address},
				{Type: corev1.NodeHostName, Address: name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(logsPort)}},
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion:  version,
				OperatingSystem: runtime.GOOS,
				Architecture:    runtime.GOARCH,
			},
			Conditions: []corev1.NodeCondition{{
				Type:               corev1.NodeReady,
				Status:             corev1.ConditionTrue,
				Reason:             "Started",
				Message:            "processes can be started",
				LastHeartbeatTime:  now,
				LastTransitionTime: now,
			}},
		},
	}
}

// apiServer is what a Pod is told about the address of the API server.
func (n *Node) apiServer() (host, port string) {
	host, port, _ = net.SplitHostPort(strings.TrimPrefix(n.config.Host, "https://"))
	return host, port
}
