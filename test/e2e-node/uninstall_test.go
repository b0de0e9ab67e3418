//go:build e2enode

package e2enode

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/containers"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// TestUninstall is the promise, with everything as in production: ARC, a runner,
// the hook and Helm 3's enroller in namespaces that admit restricted Pods only.
func TestUninstall(t *testing.T) {
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			digest, err := index.Digest()
			if err != nil {
				t.Fatal(err)
			}
			// One release names the image by its tag, the other by its digest.
			l.installController(major, postRenderer(major)...)
			l.installScaleSet(major, postRenderer(major, "image.digest="+digest.String())...)
			for release, namespace := range map[string]string{"arc": controllerNamespace, "runners": runnerNamespace} {
				l.eventually("release "+release+" has the hook", func() bool {
					hooks, err := built.Helm(l.ctx, major, shared.Kubeconfig(), "get", "hooks", release, "--namespace", namespace).Output()
					return err == nil && strings.Contains(string(hooks), "kind: Job")
				})
			}

			shared.GitHub().SetMode(github.Down) // so that the hook is there to be looked at
			ended := make(chan string)
			go func() {
				out, err := l.helm(major, "uninstall", "runners", "--namespace", runnerNamespace)
				if err != nil {
					t.Errorf("helm uninstall: %v", err)
				}
				ended <- out
			}()
			pod := l.hookRuns()
			l.checkProcess(pod)
			if id := pod.Status.ContainerStatuses[0].ImageID; !strings.HasSuffix(id, digest.String()) {
				t.Errorf("the hook's image is %s, not %s", id, digest)
			}
			shared.GitHub().SetMode(github.OK)
			if out := <-ended; !strings.Contains(out, "done: nothing of this release's scale sets is left") {
				t.Errorf("the terminal does not show the verdict:\n%s", out)
			}
			if end := l.hookEnded(pod.UID); end.ExitCode != 0 || !strings.Contains(end.Message, "done: ") {
				t.Errorf("the hook's container ended with %+v", end)
			}
			if !shared.GitHub().Deregistered() {
				t.Error("still registered at GitHub")
			}

			if out := l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace); !strings.Contains(out, "done: nothing of ARC is left") {
				t.Errorf("the terminal does not show the verdict:\n%s", out)
			}
			if pods := l.hookPods(); len(pods) != 2 {
				t.Errorf("%d Pods of hooks for two uninstalls", len(pods))
			}
			l.nothingLeft()
			l.deleteNamespaces()
		})
	}
}

// TestBothPlatforms sees that a node of the other kind would find its image.
func TestBothPlatforms(t *testing.T) {
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range manifest.Manifests {
		if m.Platform.OS == "unknown" {
			continue // what the image is made of, in BuildKit's form
		}
		platform, err := index.Image(m.Digest)
		if err != nil {
			t.Fatalf("%s: %v", m.Platform, err)
		}
		config, err := platform.ConfigFile()
		if err != nil {
			t.Fatalf("%s: %v", m.Platform, err)
		}
		if config.Architecture != m.Platform.Architecture || config.Config.User != "65532:65532" {
			t.Errorf("%s: the image is for %s and user %s", m.Platform, config.Architecture, config.Config.User)
		}
		found[m.Platform.String()] = true
	}
	if !found["linux/amd64"] || !found["linux/arm64"] {
		t.Errorf("platforms: %v", found)
	}
}

// hookRuns waits until a hook's container runs.
func (l *lab) hookRuns() *corev1.Pod {
	l.Helper()
	var running *corev1.Pod
	l.eventually("the hook runs", func() bool {
		for _, p := range l.hookPods() {
			if len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Running != nil {
				running = p
			}
		}
		return running != nil
	})
	return running
}

func cgroupOf(pod *corev1.Pod) containers.Cgroup {
	return sandbox.Cgroup(strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://"))
}

// checkProcess asks the kernel what became of the chart's words.
func (l *lab) checkProcess(pod *corev1.Pod) {
	l.Helper()
	cgroup := cgroupOf(pod)
	if limit, err := cgroup.MemoryLimit(); err != nil || limit != 128<<20 {
		l.Errorf("memory limit: %d, %v", limit, err)
	}
	if cpus, err := cgroup.CPUQuota(); err != nil || cpus != 1 {
		l.Errorf("processors: %v, %v", cpus, err)
	}
	pid, err := cgroup.Process()
	if err != nil {
		l.Fatal(err)
	}
	dir := fmt.Sprintf("/proc/%d", pid)
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		l.Fatal(err)
	}
	for _, want := range []string{
		"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t0\t0\t0\t0\n", // of the image the kubelet takes the user only
		"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n",
		"NoNewPrivs:\t1\n", "Seccomp:\t2\n",
	} {
		if !strings.Contains(string(status), want) {
			l.Errorf("the hook's process has not %q:\n%s", want, status)
		}
	}
	root := filepath.Join(dir, "root")
	if err := os.WriteFile(filepath.Join(root, "written"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		l.Errorf("writing to the root file system, as root: %v", err)
	}
	l.checkToken(pod, root+"/var/run/secrets/kubernetes.io/serviceaccount/token")
	l.eventually("it is connected to the Service of the API server", func() bool {
		connections, err := os.ReadFile(dir + "/net/tcp")
		// 10.96.0.1:443, as the kernel writes it; state 1 is "established".
		return err == nil && strings.Contains(string(connections), " 0100600A:01BB 01 ")
	})
	if !strings.HasPrefix(pod.Status.PodIP, "10.244.0.") || pod.Spec.HostNetwork {
		l.Errorf("the Pod's address is %s", pod.Status.PodIP)
	}
}

// checkToken sees that the token is this Pod's and soon expires. The Pod names no user,
// so that the kubelet does not know whose file it is; there is nobody else in it.
func (l *lab) checkToken(pod *corev1.Pod, file string) {
	l.Helper()
	info, err := os.Stat(file)
	if err != nil {
		l.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 || info.Mode().Perm() != 0o644 {
		l.Errorf("the token is of user %d, %s", owner, info.Mode())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		l.Fatal(err)
	}
	parts := strings.Split(string(text), ".")
	if len(parts) != 3 {
		l.Fatalf("the token has %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		l.Fatal(err)
	}
	var claims struct {
		Kubernetes struct {
			Pod            struct{ Name string } `json:"pod"`
			ServiceAccount struct{ Name string } `json:"serviceaccount"`
			// The hour that was asked for. The API server lets the token live for
			// longer, for programs that never read it again.
			WarnAfter int64 `json:"warnafter"`
		} `json:"kubernetes.io"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		l.Fatal(err)
	}
	if claims.Kubernetes.Pod.Name != pod.Name || claims.Kubernetes.ServiceAccount.Name != pod.Spec.ServiceAccountName {
		l.Errorf("the token is of %+v", claims.Kubernetes)
	}
	if left := time.Until(time.Unix(claims.Kubernetes.WarnAfter, 0)); left > 2*time.Hour {
		l.Errorf("the token is good for %s", left)
	}
}
