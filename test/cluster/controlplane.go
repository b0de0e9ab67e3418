package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/process"
)

const (
	startTimeout = time.Minute
	portTries    = 5 // when somebody else takes a free port before the server does
	serviceCIDR  = "10.96.0.0/16"
)

var errPortTaken = errors.New("the port was taken meanwhile")

// server is a running program of the control plane.
type server struct {
	*process.Process
	name, log string
}

// CollectLess is the environment in which a Go program spends less time on garbage collection. That
// was a fifth of the API server's time and of Helm's, and both share the machine with the tests.
var CollectLess = []string{"GOGC=400", "GOMEMLIMIT=2GiB"}

// launch starts a program with its output in a log of the state folder.
func (c *Cluster) launch(name string, args ...string) (*server, error) {
	s := &server{name: name, log: filepath.Join(c.dir, name+".log")}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // only the program writes to it
	cmd := exec.Command(c.programs[name], args...)
	cmd.Dir = c.dir
	cmd.Env = append(withoutEtcd(os.Environ()), CollectLess...)
	cmd.Stdout, cmd.Stderr = log, log
	if s.Process, err = c.keeper.Start(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return s, nil
}

// withoutEtcd leaves out the variables of another etcd. This one would take them for flags, and end at one that it has twice.
func withoutEtcd(environment []string) []string {
	return slices.DeleteFunc(environment, func(v string) bool { return strings.HasPrefix(v, "ETCD_") })
}

// await returns when the check succeeds, and fails when the server ends.
func (s *server) await(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.Done():
			log := process.Tail(s.log, 10)
			if strings.Contains(log, "address already in use") {
				return fmt.Errorf("starting %s: %w", s.name, errPortTaken)
			}
			return fmt.Errorf("%s ended with %d:\n%s", s.name, s.ExitCode(), log)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w\n%s", s.name, ctx.Err(), err, process.Tail(s.log, 10))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// onFreePort calls start with ports until one could be used.
func onFreePort(start func(port string) error) error {
	for try := 1; ; try++ {
		port, err := FreePort()
		if err != nil {
			return err
		}
		if err := start(port); !errors.Is(err, errPortTaken) || try == portTries {
			return err
		}
	}
}

// FreePort looks below the ports that the system gives to clients: a server
// which is stopped for a while has to find its port free afterwards.
func FreePort() (string, error) {
	const lowest, count = 20000, 10000
	for range 100 {
		port := strconv.Itoa(lowest + rand.IntN(count))
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return "", errors.New("no free port found on 127.0.0.1")
}

func (c *Cluster) startEtcd(ctx context.Context) error {
	pair, err := c.authority.issue("etcd")
	if err != nil {
		return err
	}
	return onFreePort(func(port string) error {
		c.etcd = "https://127.0.0.1:" + port
		s, err := c.launch("etcd",
			"--data-dir="+filepath.Join(c.dir, "etcd"),
			"--unsafe-no-fsync",
			"--listen-client-urls="+c.etcd, "--advertise-client-urls="+c.etcd,
			"--listen-peer-urls=http://127.0.0.1:0", // it is the only member
			"--cert-file="+pair.cert, "--key-file="+pair.key,
			"--trusted-ca-file="+c.authority.file(), "--client-cert-auth",
			"--log-level=warn")
		if err != nil {
			return err
		}
		return s.await(ctx, func(ctx context.Context) error {
			return c.healthy(ctx, c.etcd+"/health")
		})
	})
}

func (c *Cluster) startAPIServer(ctx context.Context, port string) error {
	etcd, err := c.authority.issue("etcd-client")
	if err != nil {
		return err
	}
	serving, err := c.authority.issue("kube-apiserver")
	if err != nil {
		return err
	}
	kubelet, err := c.authority.issue("kube-apiserver-kubelet-client")
	if err != nil {
		return err
	}
	bind := c.host
	if bind != "127.0.0.1" {
		bind = "0.0.0.0" // for Pods, and for us
	}
	s, err := c.launch("kube-apiserver",
		"--etcd-servers="+c.etcd, "--etcd-cafile="+c.authority.file(),
		"--etcd-certfile="+etcd.cert, "--etcd-keyfile="+etcd.key,
		"--bind-address="+bind, "--secure-port="+port, "--advertise-address="+c.host,
		"--endpoint-reconciler-type=none", // an endpoint on loopback is not allowed
		"--tls-cert-file="+serving.cert, "--tls-private-key-file="+serving.key,
		"--client-ca-file="+c.authority.file(),
		"--kubelet-client-certificate="+kubelet.cert, "--kubelet-client-key="+kubelet.key,
		"--kubelet-certificate-authority="+c.authority.file(),
		"--kubelet-preferred-address-types=InternalIP",
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.accounts.cert, "--service-account-signing-key-file="+c.accounts.key,
		"--service-cluster-ip-range="+serviceCIDR,
		"--shutdown-delay-duration=0s")
	if err != nil {
		return err
	}
	err = s.await(ctx, func(ctx context.Context) error {
		return c.healthy(ctx, "https://127.0.0.1:"+port+"/readyz")
	})
	if err == nil {
		c.apiServer = s
	}
	return err
}

func (c *Cluster) startControllerManager() error {
	kubeconfig, err := c.componentKubeconfig("system:kube-controller-manager")
	if err != nil {
		return err
	}
	_, err = c.launch("kube-controller-manager",
		"--kubeconfig="+kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file="+c.accounts.key,
		"--root-ca-file="+c.authority.file(),
		// With the default limits it takes long to get going.
		"--kube-api-qps=1000", "--kube-api-burst=2000")
	return err
}

// componentKubeconfig is for a part of Kubernetes, which has a user of its own.
func (c *Cluster) componentKubeconfig(user string, groups ...string) (string, error) {
	config, err := c.clientConfig(user, groups...)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(user, config)
}

// healthy asks as a client whom every server of the cluster knows.
func (c *Cluster) healthy(ctx context.Context, url string) error {
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, body)
	}
	return nil
}
