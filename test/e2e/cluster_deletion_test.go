package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const clusterDeletion = "cluster-deletion.md"

// newDoomedLab gives a test a cluster of its own, to stop, in the place of one of the shared clusters.
func newDoomedLab(t *testing.T) *lab {
	t.Helper()
	t.Parallel()
	shared := <-clusters
	t.Cleanup(func() { clusters <- nil })
	if shared != nil {
		if err := shared.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Images: maps.Clone(images), Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() }) //nolint:errcheck // the test is over
	config := c.Config()
	l := &lab{
		T: t, Cluster: c, ctx: t.Context(),
		client:   kubernetes.NewForConfigOrDie(config),
		dynamic:  dynamic.NewForConfigOrDie(config),
		metadata: metadata.NewForConfigOrDie(config),
	}
	l.before = l.everything()
	return l
}

// A deletion is what a user does with docs/cluster-deletion.md: commands at a desk, of a cluster that goes, and GitHub, which
// stays.
type deletion struct {
	*desk
	github *github.StandIn
	blocks map[string]block // those of commands that were not executed yet
}

func newDeletion(t *testing.T) *deletion {
	t.Helper()
	l := newDoomedLab(t)
	d := &deletion{desk: l.newDesk(4), blocks: map[string]block{}}
	for _, b := range pageOfClusterDeletion(t) {
		if b.language == "sh" {
			d.blocks[b.heading] = b
		}
	}
	var err error
	if d.github, err = github.Start("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.github.Close() }) //nolint:errcheck // the test is over
	d.github.ExclusiveSessions(true)
	d.write("token", githubToken, 0o600)
	return d
}

func pageOfClusterDeletion(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(built.Root, "docs", clusterDeletion))
	if err != nil {
		t.Fatal(err)
	}
	return blocks(clusterDeletion, string(text))
}

func (d *deletion) install() {
	d.Helper()
	d.installController()
	d.mustHelm(4, slices.Concat([]string{
		"install", "arc-runner-set", built.ARCChart(harness.ScaleSetChart), "--namespace", runnerNamespace, "--create-namespace", "--server-side=false",
	}, harness.ScaleSetValues("", d.github.ConfigURL(), controllerNamespace))...)
	d.awaitRunnerAt(d.github, runnerNamespace)
	d.eventually("the listener has a session at GitHub", func() bool { return d.github.SessionOpen("arc-runner-set") })
}

// section executes the commands under a heading, which end with this code.
func (d *deletion) section(heading string, code int, environment ...string) string {
	d.Helper()
	b, ok := d.blocks[heading]
	if !ok {
		d.Fatalf("docs/%s has no commands under %q", clusterDeletion, heading)
	}
	out, got := d.shell(b.text, environment...)
	if got != code {
		d.Fatalf("%s: exit code %d, want %d\n%s", heading, got, code, out)
	}
	return out
}

// shell executes commands of the page, which stand for the organisation of an example.
func (d *deletion) shell(text string, environment ...string) (string, int) {
	d.Helper()
	env := d.env
	defer func() { d.env = env }()
	d.env = slices.Concat(env, environment)
	out, code := d.run("bash", "-c", strings.ReplaceAll(text, "https://github.com/acme", d.github.ConfigURL()))
	for _, secret := range append(d.github.Secrets(), githubToken) {
		if strings.Contains(out, secret) {
			d.Errorf("%q is in\n%s", secret, out)
		}
	}
	return out, code
}

// done forgets the sections that were executed, and fails if the page has others.
func (d *deletion) done(headings ...string) {
	d.Helper()
	for _, heading := range headings {
		delete(d.blocks, heading)
	}
	for heading := range d.blocks {
		d.Errorf("nothing executes the commands of docs/%s under %q", clusterDeletion, heading)
	}
}

// TestClusterDeletion does what docs/cluster-deletion.md says: with a cluster that is still there, and with one that is gone.
func TestClusterDeletion(t *testing.T) {
	d := newDeletion(t)

	// With time: nothing is left at GitHub.
	d.install()
	d.section("Uninstall ARC first", 0, "ARC_CLEANUP_YES=true") // there is nobody to ask
	if !d.github.Deregistered() {
		t.Fatalf("left at GitHub: %v, %v", d.github.ScaleSets(), d.github.Runners())
	}
	d.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)

	// A tool that uninstalls: the hook is in the releases. Fleet's Helm gets no log.
	d.install()
	d.section("Enrol before your tool uninstalls", 0)
	d.awaitEnrolled("arc", controllerNamespace)
	d.awaitEnrolled("arc-runner-set", runnerNamespace)
	if hooks := d.mustHelm(4, "get", "hooks", "arc", "--namespace", controllerNamespace); !strings.Contains(hooks, "hook-output-log-policy") {
		t.Errorf("these hooks ask for no log, so that what is said of Fleet proves nothing:\n%s", hooks)
	}
	d.section("Fleet", 0)
	if hooks := d.mustHelm(4, "get", "hooks", "arc", "--namespace", controllerNamespace); strings.Contains(hooks, "hook-output-log-policy") {
		t.Errorf("Fleet's agent would panic over these hooks:\n%s", hooks)
	}

	// Without time: the record is written, and the cluster goes.
	d.section("Save what is registered", 0)
	sets, runners := d.github.ScaleSets(), d.github.Runners()
	d.stopCluster()
	if len(sets) != 1 || len(runners) == 0 {
		t.Fatalf("registered before: %v, %v", sets, runners)
	}
	d.github.RequireToken(githubToken)
	if !d.github.SessionOpen(sets[0]) { // its end may have been told to the listener
		if err := d.github.HoldSession(sets[0]); err != nil {
			t.Fatal(err)
		}
	}
	out := d.section("De-register when the cluster is gone", 4)
	if strings.Count(out, "would-remove") != len(sets)+len(runners) || !strings.Contains(out, "a listener is connected to it, or was until a few minutes ago") {
		t.Errorf("the first command shows what would go, and the second one waits for GitHub:\n%s", out)
	}
	if got := d.github.Runners(); !slices.Equal(got, runners) {
		t.Errorf("runners at GitHub: %v, want %v", got, runners)
	}
	if err := d.github.ReleaseSession(sets[0]); err != nil { // some minutes later
		t.Fatal(err)
	}
	d.section("De-register when the cluster is gone", 0)
	if !d.github.Deregistered() {
		t.Errorf("left at GitHub: %v, %v", d.github.ScaleSets(), d.github.Runners())
	}

	// Without a record: the names are those of the page.
	d.byName()
	d.done("Uninstall ARC first", "Enrol before your tool uninstalls", "Fleet", "Save what is registered",
		"De-register when the cluster is gone", "Without a record",
		"Cluster API") // TestClusterDeletionByClusterAPI
}

// stopCluster ends the cluster. What is left is the user's kubeconfig.
func (d *deletion) stopCluster() {
	d.Helper()
	config, err := os.ReadFile(d.Kubeconfig())
	if err != nil {
		d.Fatal(err)
	}
	d.write("kubeconfig", string(config), 0o600)
	d.env = append(d.env, "KUBECONFIG="+filepath.Join(d.dir, "kubeconfig"))
	if out, code := d.shell("arc-cleanup status"); code != 0 {
		d.Fatalf("before: exit code %d\n%s", code, out)
	}
	if err := d.Stop(); err != nil {
		d.Fatal(err)
	}
	if out, code := d.shell("arc-cleanup status"); code != 1 || !strings.Contains(out, "connection refused") {
		d.Fatalf("the cluster is still there: exit code %d\n%s", code, out)
	}
}

// byName de-registers the scale set and the runner that the page names, and proves that the runner has to be named.
func (d *deletion) byName() {
	d.Helper()
	command := d.blocks["Without a record"].text
	_, after, found := strings.Cut(command, "--runner ")
	if !found {
		d.Fatalf("no runner in\n%s", command)
	}
	runner, _, _ := strings.Cut(after, " ")
	d.github.AddScaleSet("arc-runner-set", "Default")
	if err := d.github.AddScaleSetRunner("arc-runner-set", runner, false); err != nil {
		d.Fatal(err)
	}
	if out, code := d.shell(strings.ReplaceAll(command, "--runner "+runner, "")); code != 4 || !strings.Contains(out, "GitHub has 1 other runner of it") {
		d.Errorf("without --runner: exit code %d\n%s", code, out)
	}
	d.section("Without a record", 0)
	if !d.github.Deregistered() {
		d.Errorf("left at GitHub: %v, %v", d.github.ScaleSets(), d.github.Runners())
	}
}

// TestClusterDeletionByClusterAPI has an API server with the provider's CRDs look at the HelmChartProxy of the page, and
// kubectl select what its commands are for.
func TestClusterDeletionByClusterAPI(t *testing.T) {
	l := newLab(t)
	crds, err := cluster.ClusterAPICRDs(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(crds, []byte(clusterCRD)) {
		crd := &unstructured.Unstructured{}
		unmarshal(t, text, &crd.Object)
		l.create(crd)
	}
	var commands string
	for _, b := range pageOfClusterDeletion(t) {
		switch {
		case b.heading == "Cluster API" && b.language == "yaml":
			l.checkProxy(b.text)
		case b.heading == "Cluster API" && b.language == "sh":
			commands = b.text
		}
	}
	if commands == "" {
		t.Fatal("the page has no commands for Cluster API")
	}
	deleted := l.made("{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: my-cluster, namespace: default, labels: {arc: enabled, cni: calico}}}")
	l.releaseProxy("cni", "my-cluster", "cni")
	l.releaseProxy("arc-elsewhere", "another", "arc")
	d := l.newDesk(4)
	kubectl, err := cluster.Binary(l.ctx, "kubectl", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kubectl, filepath.Join(d.dir, "bin", "kubectl")); err != nil {
		t.Fatal(err)
	}
	// What the commands select is there: they do not go on.
	waits := l.releaseProxy("arc-here", "my-cluster", "arc-runner-set")
	impatient := "set -e\n" + strings.ReplaceAll(commands, "--timeout=20m", "--timeout=1s")
	if out, code := d.run("bash", "-c", impatient); code == 0 || !strings.Contains(out, "arc-here") || strings.Contains(out, "elsewhere") || strings.Contains(out, "cni") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if got, err := l.resourceOf(deleted).Get(l.ctx, "my-cluster", metav1.GetOptions{}); err != nil || !maps.Equal(got.GetLabels(), map[string]string{"cni": "calico"}) {
		t.Errorf("the Cluster has the labels %v (error: %v)", got.GetLabels(), err)
	}
	l.deletes(waits) // as the provider does
	if out, code := d.run("bash", "-c", "set -e\n"+commands); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if _, err := l.resourceOf(deleted).Get(l.ctx, "my-cluster", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Cluster is still there (error: %v)", err)
	}
}

// clusterCRD is what kubectl has to know of Cluster API's Cluster.
const clusterCRD = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: clusters.cluster.x-k8s.io},
  spec: {group: cluster.x-k8s.io, scope: Namespaced, names: {kind: Cluster, plural: clusters}, versions: [
    {name: v1beta2, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`

// releaseProxy is what Cluster API's provider makes of a HelmChartProxy for a cluster.
func (l *lab) releaseProxy(name, cluster, of string) *unstructured.Unstructured {
	l.Helper()
	return l.made(fmt.Sprintf(`{apiVersion: addons.cluster.x-k8s.io/v1alpha1, kind: HelmReleaseProxy, metadata: {name: %s, namespace: default,
  labels: {cluster.x-k8s.io/cluster-name: %s, helmreleaseproxy.addons.cluster.x-k8s.io/helmchartproxy-name: %s}},
  spec: {chartName: x, repoURL: "oci://registry.example/charts", namespace: default, clusterRef: {name: %[2]s, namespace: default}}}`, name, cluster, of))
}

// checkProxy has the API server look at a HelmChartProxy: every field is known and has a value it may have.
func (l *lab) checkProxy(text string) {
	l.Helper()
	o := &unstructured.Unstructured{}
	unmarshal(l.T, []byte(text), &o.Object)
	o.SetNamespace("default")
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	var err error
	l.eventually("HelmChartProxies are served", func() bool {
		_, err = l.resourceOf(o).Create(l.ctx, o, dry)
		return !apierrors.IsNotFound(err)
	})
	if err != nil {
		l.Errorf("%s: %v", text, err)
	}
	_ = unstructured.SetNestedField(o.Object, true, "spec", "unheardOf")
	if _, err := l.resourceOf(o).Create(l.ctx, o, dry); err == nil {
		l.Error("a field that there is not was let in, so that this test proves nothing")
	}
}
