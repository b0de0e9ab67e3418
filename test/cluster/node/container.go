package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/process"
)

const (
	maxBackoff            = 10 * time.Second
	startErrorCode        = 128
	maxTerminationMessage = 4096
	backOffPullAfter      = 4 // looks at an image that is not there
)

// A container is started as often as the Pod's restart policy asks for.
type container struct {
	pod  *pod
	name string
	init bool
	dir  string

	mu      sync.Mutex
	status  corev1.ContainerStatus
	process *process.Process // nil between two runs
	logs    []*runLog        // of all runs, the last one at the end
}

// runLog is what one run of a container has printed.
type runLog struct {
	path  string
	ended chan struct{}
}

func newContainer(p *pod, name string, init bool) *container {
	return &container{
		pod:  p,
		name: name,
		init: init,
		dir:  filepath.Join(p.dir, "containers", name),
		status: corev1.ContainerStatus{
			Name:    name,
			Started: new(bool),
			State:   corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
		},
	}
}

// run returns when the container will not be started again, and whether it
// succeeded.
func (c *container) run(object *corev1.Pod, spec *corev1.Container, policy corev1.RestartPolicy) bool {
	c.change(func(status *corev1.ContainerStatus) { status.Image, status.ImageID = spec.Image, spec.Image })
	backoff := time.Second
	for {
		program, err := c.awaitProgram(spec)
		if errors.Is(err, errStopping) {
			return false
		}
		var ended *corev1.ContainerStateTerminated
		if err == nil {
			ended = c.runOnce(object, spec, program)
		} else {
			ended = startError(err)
		}
		if ended == nil {
			return false
		}
		again := policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && ended.ExitCode != 0
		if !again || c.pod.stopping.Err() != nil {
			c.terminated(ended)
			return ended.ExitCode == 0
		}
		c.restarting(ended, backoff)
		if !c.pod.wait(backoff) {
			return false
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

var errStopping = errors.New("the pod is being deleted")

// awaitProgram waits until the node knows the image, and looks up its command.
func (c *container) awaitProgram(spec *corev1.Container) (Program, error) {
	for looks := 0; ; looks++ {
		if image, ok := c.pod.node.image(spec.Image); ok {
			command := ""
			if len(spec.Command) > 0 {
				command = spec.Command[0]
			}
			program, ok := image.Commands[command]
			if !ok {
				return Program{}, fmt.Errorf("exec: %q: no such file in image %s", command, spec.Image)
			}
			return program, nil
		}
		if looks < backOffPullAfter {
			c.waiting("ErrImagePull", fmt.Sprintf("failed to pull image %q: not found", spec.Image))
		} else {
			c.waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q", spec.Image))
		}
		if !c.pod.wait(retryTime) {
			return Program{}, errStopping
		}
	}
}

// runOnce runs the program to its end; nil means that the Pod has to end
// before it could be started.
func (c *container) runOnce(object *corev1.Pod, spec *corev1.Container, program Program) *corev1.ContainerStateTerminated {
	var cmd *exec.Cmd
	for {
		var err error
		if cmd, err = c.command(object, spec, program); err == nil {
			break
		}
		c.waiting("CreateContainerConfigError", err.Error())
		if !c.pod.wait(retryTime) {
			return nil
		}
	}
	c.mu.Lock()
	log := &runLog{path: filepath.Join(c.dir, strconv.Itoa(len(c.logs))+".log"), ended: make(chan struct{})}
	c.logs = append(c.logs, log)
	c.mu.Unlock()
	defer close(log.ended)
	output, err := os.Create(log.path)
	if err != nil {
		return startError(err)
	}
	defer output.Close() //nolint:errcheck // only the program writes to it
	cmd.Stdout, cmd.Stderr = output, output

	running, err := c.pod.node.keeper.Start(cmd)
	if err != nil {
		return startError(err)
	}
	started := metav1.Now()
	c.running(running, started)
	select {
	case <-running.Done():
	case <-c.pod.stopping.Done():
		running.Terminate()
	}
	select {
	case <-running.Done():
	case <-c.pod.killing.Done():
		running.Kill()
		<-running.Done()
	}
	ended := &corev1.ContainerStateTerminated{
		ExitCode:    int32(running.ExitCode()),
		Reason:      "Completed",
		StartedAt:   started,
		FinishedAt:  metav1.Now(),
		ContainerID: containerID(running),
	}
	if ended.ExitCode != 0 {
		ended.Reason = "Error"
	}
	ended.Message = c.terminationMessage(spec, log, ended.ExitCode != 0)
	return ended
}

func startError(err error) *corev1.ContainerStateTerminated {
	now := metav1.Now()
	return &corev1.ContainerStateTerminated{
		ExitCode:   startErrorCode,
		Reason:     "StartError",
		Message:    err.Error(),
		StartedAt:  now,
		FinishedAt: now,
	}
}

func containerID(p *process.Process) string { return "process://" + strconv.Itoa(p.PID()) }

// terminationMessage is what the program left for its Pod's status.
func (c *container) terminationMessage(spec *corev1.Container, log *runLog, failed bool) string {
	message, err := os.ReadFile(filepath.Join(c.root(), spec.TerminationMessagePath))
	if err == nil && len(message) > 0 {
		return string(message[:min(len(message), maxTerminationMessage)])
	}
	if failed && spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
		const lines, bytes = 80, 2048
		text := process.Tail(log.path, lines)
		return strings.ToValidUTF8(text[max(0, len(text)-bytes):], "")
	}
	return ""
}

// kill ends a container that runs.
func (c *container) kill() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return false
	}
	c.process.Kill()
	return true
}

func (c *container) waiting(reason, message string) {
	c.change(func(status *corev1.ContainerStatus) {
		status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

func (c *container) running(p *process.Process, since metav1.Time) {
	c.change(func(status *corev1.ContainerStatus) {
		c.process = p
		status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: since}}
		status.ContainerID = containerID(p)
		status.RestartCount = int32(len(c.logs) - 1)
		// There are no probes here: what runs is ready.
		status.Ready, *status.Started = true, true
	})
}

func (c *container) terminated(ended *corev1.ContainerStateTerminated) {
	c.change(func(status *corev1.ContainerStatus) {
		c.process = nil
		status.State = corev1.ContainerState{Terminated: ended}
		status.Ready, status.Started = c.init && ended.ExitCode == 0, new(bool)
	})
}

func (c *container) restarting(ended *corev1.ContainerStateTerminated, backoff time.Duration) {
	c.change(func(status *corev1.ContainerStatus) {
		c.process = nil
		status.LastTerminationState = corev1.ContainerState{Terminated: ended}
		status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason:  "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container", backoff),
		}}
		status.Ready, status.Started = false, new(bool)
	})
}

// change changes the status and has it written.
func (c *container) change(apply func(*corev1.ContainerStatus)) {
	c.mu.Lock()
	apply(&c.status)
	c.mu.Unlock()
	select {
	case c.pod.changed <- struct{}{}:
	default: // it will be written anyway
	}
}
