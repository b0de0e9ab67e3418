package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

// crashVariable makes this test program a cluster that waits to be killed.
const crashVariable = "ARC_CLEANUP_TEST_CRASH"

func startAndWait() int {
	ctx := context.Background()
	c, err := cluster.Start(ctx, cluster.Options{Images: map[string]cluster.Image{shellImage: shell()}})
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err == nil {
		_, err = client.CoreV1().Pods("default").Create(ctx, script("family", "sleep 4242 & sleep 4243"), metav1.CreateOptions{})
	}
	for err == nil {
		var pod *corev1.Pod
		if pod, err = client.CoreV1().Pods("default").Get(ctx, "family", metav1.GetOptions{}); err == nil && pod.Status.Phase == corev1.PodRunning {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("ready", c.Config().Host, err)
	select {}
}

func TestTwoClustersAndACrash(t *testing.T) {
	temp := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"=1", "TMPDIR="+temp)
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(output).ReadString('\n')
	if !strings.HasPrefix(line, "ready https://") || !strings.HasSuffix(line, "<nil>\n") {
		cmd.Process.Kill() //nolint:errcheck // it has ended by itself
		t.Fatalf("the second cluster said %q", line)
	}
	if strings.Contains(line, shared.Config().Host) {
		t.Errorf("two clusters have the same address: %s", line)
	}
	if len(processesUnder(t, temp)) < 4 {
		t.Errorf("found only %v of the second cluster", processesUnder(t, temp))
	}

	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it was killed
	deadline := time.Now().Add(10 * time.Second)
	for {
		files, err := os.ReadDir(temp)
		if err != nil {
			t.Fatal(err)
		}
		processes := processesUnder(t, temp)
		if len(files) == 0 && len(processes) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: files %v, processes %v", files, processes)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// processesUnder finds processes by their working directory.
func processesUnder(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil || len(links) == 0 {
		t.Skip("there is no /proc to look into")
	}
	var found []string
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir) {
			found = append(found, strings.TrimSuffix(link, "/cwd"))
		}
	}
	return found
}
