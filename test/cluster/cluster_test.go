package cluster_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

// shared is the cluster of all tests which leave nothing behind in it.
var shared *cluster.Cluster

const shellImage = "example.com/shell"

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if dir := os.Getenv(crashVariable); dir != "" {
		return startAndWait()
	}
	ctx := context.Background()
	images, err := cluster.ARCImages(ctx, os.Stderr)
	if err == nil {
		images[shellImage] = shell()
		shared, err = cluster.Start(ctx, cluster.Options{Images: images, Progress: os.Stderr})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop() //nolint:errcheck // the tests have been run
	return m.Run()
}

func shell() cluster.Image {
	return cluster.Image{Commands: map[string]cluster.Program{
		"sh": {Path: "/bin/sh", Args: []string{"-c"}},
	}}
}

// script is a Pod which runs a shell script.
func script(name, text string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "main", Image: shellImage + ":v1", Command: []string{"sh"}, Args: []string{text},
			}},
		},
	}
}

// a tester does things in a namespace of its own.
type tester struct {
	*testing.T
	client    kubernetes.Interface
	namespace string
}

func newTester(t *testing.T) tester {
	t.Helper()
	return testerFor(t, shared)
}

func testerFor(t *testing.T, c *cluster.Cluster) tester {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tt := tester{t, client, namespace.Name}
	tt.eventually("the default service account is there", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(namespace.Name).Get(ctx, "default", metav1.GetOptions{})
		return !apierrors.IsNotFound(err), ignoreNotFound(err)
	})
	return tt
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (t tester) eventually(what string, condition wait.ConditionWithContextFunc) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 40*time.Second, true, condition)
	if err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

func (t tester) create(pod *corev1.Pod) {
	t.Helper()
	_, err := t.client.CoreV1().Pods(t.namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// await returns the Pod when its first container's status is as wanted.
func (t tester) await(name, what string, wanted func(*corev1.Pod, corev1.ContainerStatus) bool) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	t.eventually(name+" "+what, func(ctx context.Context) (done bool, err error) {
		pod, err = t.client.CoreV1().Pods(t.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || len(pod.Status.ContainerStatuses) == 0 {
			return false, err
		}
		return wanted(pod, pod.Status.ContainerStatuses[0]), nil
	})
	return pod
}

func (t tester) awaitPhase(name string, phase corev1.PodPhase) *corev1.Pod {
	t.Helper()
	return t.await(name, "is "+string(phase), func(p *corev1.Pod, _ corev1.ContainerStatus) bool { return p.Status.Phase == phase })
}

func (t tester) logs(name string, options corev1.PodLogOptions) string {
	t.Helper()
	text, err := t.client.CoreV1().Pods(t.namespace).GetLogs(name, &options).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("logs of %s: %v", name, err)
	}
	return string(text)
}

func (t tester) awaitGone(name string) {
	t.Helper()
	t.eventually(name+" is gone", func(ctx context.Context) (bool, error) {
		_, err := t.client.CoreV1().Pods(t.namespace).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), ignoreNotFound(err)
	})
}

func TestPodSucceedsAndFails(t *testing.T) {
	tt := newTester(t)
	good := script("good", `echo "$GREETING from $(id -u >/dev/null; echo $NAME)"; printf "all is well" > /dev/termination-log`)
	good.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: "GREETING", Value: "hello $$ $(NAME) $(UNKNOWN)"},
	}
	tt.create(good)
	tt.create(script("bad", "echo it broke; exit 3"))
	last := script("talkative", "echo the last words; exit 1")
	last.Spec.Containers[0].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	tt.create(last)
	tt.create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "no-command"}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "main", Image: shellImage, Command: []string{"/bin/missing"}}},
	}})

	ended := tt.awaitPhase("good", corev1.PodSucceeded).Status.ContainerStatuses[0].State.Terminated
	if ended.ExitCode != 0 || ended.Message != "all is well" || ended.Reason != "Completed" {
		t.Errorf("good ended with %+v", ended)
	}
	if got, want := tt.logs("good", corev1.PodLogOptions{}), "hello $ good $(UNKNOWN) from good\n"; got != want {
		t.Errorf("good printed %q, want %q", got, want)
	}
	ended = tt.awaitPhase("bad", corev1.PodFailed).Status.ContainerStatuses[0].State.Terminated
	if ended.ExitCode != 3 || ended.Reason != "Error" {
		t.Errorf("bad ended with %+v", ended)
	}
	ended = tt.awaitPhase("talkative", corev1.PodFailed).Status.ContainerStatuses[0].State.Terminated
	if ended.Message != "the last words" {
		t.Errorf("talkative left the message %q", ended.Message)
	}
	ended = tt.awaitPhase("no-command", corev1.PodFailed).Status.ContainerStatuses[0].State.Terminated
	if ended.Reason != "StartError" || ended.ExitCode != 128 {
		t.Errorf("no-command ended with %+v", ended)
	}
}

func TestPodHasItsServiceAccountAndVolumes(t *testing.T) {
	tt := newTester(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"key": "secret value"}}
	if _, err := tt.client.CoreV1().Secrets(tt.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := script("reader", `cat /etc/secrets/key; echo; echo x > /tmp/x; ls /tmp; grep namespace: $KUBECONFIG; grep -c tokenFile $KUBECONFIG; cut -d. -f1 var/run/secrets/kubernetes.io/serviceaccount/token | wc -l`)
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}},
		{Name: "t", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "s", MountPath: "/etc/secrets"}, {Name: "t", MountPath: "/tmp"}}
	tt.create(pod)
	none := script("without", `echo "config: $KUBECONFIG"`)
	none.Spec.AutomountServiceAccountToken = new(bool)
	tt.create(none)
	tt.awaitPhase("reader", corev1.PodSucceeded)
	want := "secret value\nx\n    namespace: " + tt.namespace + "\n1\n1\n"
	if got := tt.logs("reader", corev1.PodLogOptions{}); got != want {
		t.Errorf("reader printed %q, want %q", got, want)
	}
	tt.awaitPhase("without", corev1.PodSucceeded)
	if got := tt.logs("without", corev1.PodLogOptions{}); got != "config: \n" {
		t.Errorf("without printed %q", got)
	}
}

func TestUnknownImage(t *testing.T) {
	tt := newTester(t)
	pod := script("stranger", "echo here I am")
	pod.Spec.Containers[0].Image = "example.com/" + tt.namespace + "@sha256:" + strings.Repeat("0", 64)
	tt.create(pod)
	stranger := tt.await("stranger", "cannot be pulled", func(_ *corev1.Pod, s corev1.ContainerStatus) bool {
		return s.State.Waiting != nil && s.State.Waiting.Reason == "ErrImagePull"
	})
	if stranger.Status.Phase != corev1.PodPending {
		t.Errorf("phase is %s", stranger.Status.Phase)
	}
	shared.SetImage("example.com/"+tt.namespace, shell())
	tt.awaitPhase("stranger", corev1.PodSucceeded)
}

func TestRestarts(t *testing.T) {
	tt := newTester(t)
	pod := script("stubborn", `echo "try $(ls tmp | wc -l)"; mktemp >/dev/null; [ "$(ls tmp | wc -l)" = 3 ]`)
	pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	tt.create(pod)
	always := script("always", "sleep 1000")
	always.Spec.RestartPolicy = corev1.RestartPolicyAlways
	tt.create(always)

	tt.awaitPhase("always", corev1.PodRunning)
	if err := shared.KillPod(tt.namespace, "always", "main"); err != nil {
		t.Error(err)
	}
	killed := tt.await("always", "runs again", func(_ *corev1.Pod, s corev1.ContainerStatus) bool {
		return s.RestartCount == 1 && s.State.Running != nil && s.Ready
	})
	if code := killed.Status.ContainerStatuses[0].LastTerminationState.Terminated.ExitCode; code != 137 {
		t.Errorf("the killed container ended with %d", code)
	}
	done := tt.awaitPhase("stubborn", corev1.PodSucceeded)
	if count := done.Status.ContainerStatuses[0].RestartCount; count != 2 {
		t.Errorf("stubborn was restarted %d times", count)
	}
	if got := tt.logs("stubborn", corev1.PodLogOptions{Previous: true}); got != "try 1\n" {
		t.Errorf("stubborn's run before the last printed %q", got)
	}
}

func TestInitContainersRunInOrder(t *testing.T) {
	tt := newTester(t)
	pod := script("main", "cat /shared/file")
	volume := corev1.VolumeMount{Name: "shared", MountPath: "/shared"}
	pod.Spec.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	for i, text := range []string{"echo one > /shared/file", "echo two >> /shared/file"} {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{
			Name: fmt.Sprintf("init-%d", i), Image: shellImage, Command: []string{"sh", text}, VolumeMounts: []corev1.VolumeMount{volume},
		})
	}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{volume}
	tt.create(pod)
	tt.awaitPhase("main", corev1.PodSucceeded)
	if got := tt.logs("main", corev1.PodLogOptions{}); got != "one\ntwo\n" {
		t.Errorf("main printed %q", got)
	}
}

func TestDeletion(t *testing.T) {
	tt := newTester(t)
	tt.create(script("polite", `trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done`))
	tt.create(script("stubborn", `trap '' TERM; echo ready; while :; do sleep 0.1; done`))
	for _, name := range []string{"polite", "stubborn"} {
		tt.awaitPhase(name, corev1.PodRunning)
		tt.eventually(name+" is ready", func(context.Context) (bool, error) {
			return tt.logs(name, corev1.PodLogOptions{}) == "ready\n", nil
		})
	}
	follow, err := tt.client.CoreV1().Pods(tt.namespace).GetLogs("polite", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer follow.Close()
	grace := int64(2)
	started := time.Now()
	for _, name := range []string{"polite", "stubborn"} {
		if err := tt.client.CoreV1().Pods(tt.namespace).Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
			t.Fatal(err)
		}
	}
	tt.awaitGone("polite")
	if took := time.Since(started); took > 1500*time.Millisecond {
		t.Errorf("polite took %s to go", took)
	}
	tt.awaitGone("stubborn")
	if took := time.Since(started); took < 2*time.Second || took > 4*time.Second {
		t.Errorf("stubborn took %s to go", took)
	}
	text := new(strings.Builder)
	buffer := make([]byte, 1024)
	for {
		n, err := follow.Read(buffer)
		text.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	if text.String() != "ready\nbye\n" {
		t.Errorf("polite printed %q", text)
	}
}

func TestNamespaceWithPodsGoesAway(t *testing.T) {
	tt := newTester(t)
	tt.create(script("sleeper", "trap 'exit 0' TERM; while :; do sleep 0.1; done"))
	tt.create(script("finished", "exit 0"))
	unknown := script("unknown", "exit 0")
	unknown.Spec.Containers[0].Image = "example.com/unknown"
	tt.create(unknown)
	tt.awaitPhase("sleeper", corev1.PodRunning)
	tt.awaitPhase("finished", corev1.PodSucceeded)
	if err := tt.client.CoreV1().Namespaces().Delete(t.Context(), tt.namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	tt.eventually("the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := tt.client.CoreV1().Namespaces().Get(ctx, tt.namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err), ignoreNotFound(err)
	})
}

func TestAPIServerMayBeAway(t *testing.T) {
	tt := newTester(t)
	tt.create(script("before", "trap 'exit 0' TERM; while :; do sleep 0.1; done"))
	tt.awaitPhase("before", corev1.PodRunning)
	shared.StopAPIServer()
	if _, err := tt.client.CoreV1().Pods(tt.namespace).Get(t.Context(), "before", metav1.GetOptions{}); err == nil {
		t.Error("the API server answers although it is stopped")
	}
	if err := shared.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	tt.awaitPhase("before", corev1.PodRunning)
	tt.create(script("after", "exit 0"))
	tt.awaitPhase("after", corev1.PodSucceeded)
	if err := tt.client.CoreV1().Pods(tt.namespace).Delete(t.Context(), "before", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	tt.awaitGone("before")
}
