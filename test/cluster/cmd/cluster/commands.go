package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/process"
)

// serveCommand is the process in the background. It holds the cluster's lock
// as long as it lives.
const serveCommand = "serve"

const stopTimeout = 30 * time.Second

// state is where a cluster's files are.
type state struct{ name, dir string }

func stateOf(name string) (state, error) {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`).MatchString(name) {
		return state{}, fmt.Errorf("the name %q may only have lower-case letters, digits and dashes", name)
	}
	cache, err := cluster.CacheDir()
	if err != nil {
		return state{}, err
	}
	return state{name: name, dir: filepath.Join(cache, "clusters", name)}, nil
}

func (s state) lock() string  { return s.dir + ".lock" }
func (s state) log() string   { return s.dir + ".log" }
func (s state) pid() string   { return filepath.Join(s.dir, "pid") }
func (s state) ready() string { return filepath.Join(s.dir, "ready") }

func up(ctx context.Context, s state, args []string) error {
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return fmt.Errorf("making the folder for clusters: %w", err)
	}
	unlock, err := process.TryLock(s.lock())
	if errors.Is(err, process.ErrLocked) {
		fmt.Fprintf(os.Stderr, "cluster %s is already running\n", s.name)
		return s.print()
	}
	if err != nil {
		return err
	}
	defer unlock()
	// What has to be built is built where it can be seen.
	for _, name := range cluster.ControlPlane {
		if _, err := cluster.Binary(ctx, name, os.Stderr); err != nil {
			return err
		}
	}
	if _, err := cluster.ARCImages(ctx, os.Stderr); err != nil {
		return err
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("removing what cluster %s left when it was killed: %w", s.name, err)
	}
	unlock()
	return s.launch(ctx, args)
}

// launch starts the process in the background and waits for its cluster.
func (s state) launch(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for this program: %w", err)
	}
	log, err := os.Create(s.log())
	if err != nil {
		return fmt.Errorf("making the log of cluster %s: %w", s.name, err)
	}
	defer log.Close() //nolint:errcheck // only the other process writes to it
	cmd := exec.Command(self, append([]string{serveCommand}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting cluster %s: %w", s.name, err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // its log says why
		close(ended)
	}()
	for {
		if _, err := os.Stat(s.ready()); err == nil {
			return s.print()
		}
		select {
		case <-ended:
			return fmt.Errorf("starting cluster %s:\n%s", s.name, process.Tail(s.log(), 20))
		case <-ctx.Done():
			cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it has ended by itself
			<-ended
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// print shows how to use the cluster, once it is ready.
func (s state) print() error {
	text, err := os.ReadFile(s.ready())
	if err != nil {
		return fmt.Errorf("cluster %s is just being started or stopped: %w", s.name, err)
	}
	_, err = os.Stdout.Write(text)
	return err
}

func serve(ctx context.Context, s state, own images) error {
	unlock, err := process.TryLock(s.lock())
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of cluster %s: %w", s.name, err)
	}
	defer os.RemoveAll(s.dir) //nolint:errcheck // the next start removes it
	if err := os.WriteFile(s.pid(), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("noting the process of cluster %s: %w", s.name, err)
	}
	all, err := cluster.ARCImages(ctx, os.Stderr)
	if err != nil {
		return err
	}
	maps.Copy(all, own)
	charts, err := cluster.ARCCharts(ctx)
	if err != nil {
		return err
	}
	c, err := cluster.Start(ctx, cluster.Options{Dir: s.dir, Images: all, Progress: os.Stderr})
	if err != nil {
		return err
	}
	c.GitHub().ExclusiveSessions(true) // as at GitHub: a scale set with a listener is in use
	unfinished := s.ready() + ".new"
	err = os.WriteFile(unfinished, []byte(howToUse(c, charts)), 0o600)
	if err == nil {
		err = os.Rename(unfinished, s.ready())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("saying that cluster %s is ready: %w", s.name, err), c.Stop())
	}
	<-ctx.Done()
	return c.Stop()
}

// howToUse is what a shell needs, and how to install ARC in the version whose programs the cluster runs.
func howToUse(c *cluster.Cluster, charts string) string {
	return fmt.Sprintf(`export KUBECONFIG=%[1]s

# With the helm on your PATH (Helm 3: without --server-side): ARC's controller, and a scale set that is registered at a
# stand-in for GitHub:
#   helm install arc %[2]s/gha-runner-scale-set-controller --namespace arc-systems --create-namespace
#   helm install arc-runner-set %[2]s/gha-runner-scale-set --namespace arc-runners --create-namespace \
#     --server-side=false --set githubConfigUrl=%[3]s --set githubConfigSecret.github_token=any --set minRunners=1 \
#     --set controllerServiceAccount.name=arc-gha-rs-controller --set controllerServiceAccount.namespace=arc-systems
# To give them the hook, add --post-renderer arc-postrender. Helm finds it as README.md says, under "With a post-renderer".

`, c.Kubeconfig(), charts, c.GitHub().ConfigURL())
}

func down(ctx context.Context, s state) error {
	unlock, err := process.TryLock(s.lock())
	if errors.Is(err, os.ErrNotExist) {
		return nil // there has never been any
	}
	if errors.Is(err, process.ErrLocked) {
		// Whoever holds the lock is alive, so the number is still its own.
		pid, err := os.ReadFile(s.pid())
		if err != nil {
			return fmt.Errorf("cluster %s is just being started or stopped: %w", s.name, err)
		}
		number, err := strconv.Atoi(string(bytes.TrimSpace(pid)))
		if err != nil {
			return fmt.Errorf("reading the process of cluster %s: %w", s.name, err)
		}
		if err := syscall.Kill(number, syscall.SIGTERM); err != nil {
			return fmt.Errorf("stopping cluster %s: %w", s.name, err)
		}
		ctx, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		if unlock, err = process.Lock(ctx, s.lock()); err != nil {
			return fmt.Errorf("waiting until cluster %s has stopped: %w", s.name, err)
		}
	} else if err != nil {
		return err
	}
	defer unlock()
	for _, path := range []string{s.dir, s.log(), s.lock()} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing what is left of cluster %s: %w", s.name, err)
		}
	}
	return nil
}

// programAt finds a program now, rather than when a Pod needs it.
func programAt(path string) (cluster.Program, error) {
	found, err := exec.LookPath(path)
	if err != nil {
		return cluster.Program{}, err
	}
	found, err = filepath.Abs(found)
	return cluster.Program{Path: found}, err
}
