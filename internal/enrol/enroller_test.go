package enrol

import (
	"bytes"
	gocmp "cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

const (
	enroller   = "arc-arc-cleanup-enrol"
	deployment = "deploy ns/" + enroller
)

// cluster is a cluster with one release and its enroller, which start starts.
type cluster struct {
	mu        sync.Mutex
	release   string // the annotation on the Deployment
	of        string // the other one: its namespace
	gone      bool   // the Deployment
	status    []string
	revision  int
	manifest  string
	hooks     string // JSON
	forbidden string // the request that is refused
	// onZero is called when the Deployment is scaled to zero.
	onZero func(*cluster)

	server *kubetest.Server
	looks  int // at the record
	scaled []string
}

func (c *cluster) start(t *testing.T) *kube.Client {
	t.Helper()
	a, client := kubetest.New(t)
	c.server, a.Fault, a.React = a, c.fault, c.react
	if !c.gone {
		a.Put(kubetest.Stored(map[string]any{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": map[string]any{
			"name": enroller, "namespace": "ns",
			"annotations": map[string]string{"meta.helm.sh/release-name": c.release, "meta.helm.sh/release-namespace": c.of},
		}})[0])
	}
	c.store()
	return client
}

// store is what Helm does: it stores the revision.
func (c *cluster) store() {
	if c.revision > 0 {
		c.server.Put(kubetest.Stored(c.secret())[0])
	}
}

func (c *cluster) fault(request string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if request == c.forbidden {
		return http.StatusForbidden
	}
	if strings.HasPrefix(request, "GET secret ") {
		if c.looks++; c.looks > 1 && len(c.status) > 1 {
			c.status = c.status[1:] // Helm goes on
			c.store()
		}
	}
	return 0
}

func (c *cluster) react(a *kubetest.Server, request string) {
	if request != "PATCH "+deployment+"/scale" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	spec, _ := a.Get(deployment)["spec"].(map[string]any)
	c.scaled = append(c.scaled, fmt.Sprint(spec["replicas"]))
	if c.onZero != nil && spec["replicas"] == 0.0 {
		c.onZero(c)
	}
}

// written returns the hooks of the record that was written; "" if none was.
func (c *cluster) written() string {
	for _, w := range c.server.Written() {
		if ref, is := strings.CutPrefix(w, "PUT "); is {
			return hooksIn(c.server.Get(ref))
		}
	}
	return ""
}

func (c *cluster) secret() map[string]any {
	raw := fmt.Sprintf(`{"name": "arc", "namespace": "ns", "version": %d, "info": {"status": %q}, "manifest": %q, "hooks": [%s]}`, c.revision, c.status[0], c.manifest, c.hooks)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(raw))
	_ = z.Close()
	data := base64.StdEncoding.EncodeToString(b.Bytes())
	return map[string]any{
		"kind": "Secret", "apiVersion": "v1", "type": "helm.sh/release.v1",
		"metadata": map[string]any{
			"name": fmt.Sprintf("sh.helm.release.v1.arc.v%d", c.revision), "namespace": "ns",
			"labels": map[string]string{"name": "arc", "owner": "helm", "version": fmt.Sprint(c.revision)},
		},
		"data": map[string]string{"release": base64.StdEncoding.EncodeToString([]byte(data))},
	}
}

// hooksIn returns the hooks of the record in a Secret.
func hooksIn(secret map[string]any) string {
	stored, _ := secret["data"].(map[string]any)["release"].(string)
	packed, err := base64.StdEncoding.DecodeString(stored)
	if err != nil {
		return err.Error()
	}
	data, _ := base64.StdEncoding.DecodeString(string(packed))
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err.Error()
	}
	var r struct{ Hooks json.RawMessage }
	if err := json.NewDecoder(z).Decode(&r); err != nil {
		return err.Error()
	}
	return string(r.Hooks)
}

// A dry run says what would be done, and writes nothing; the real one then finds
// it so.
func TestDryRun(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../postrender/testdata/controller.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{revision: 3, status: []string{"deployed"}, manifest: string(text)}
	client := c.start(t)
	for _, dry := range []bool{true, false} {
		out, err := Enrol(t.Context(), client, chart.Release{Name: "arc", Namespace: "ns"}, named, dry)
		if err != nil {
			t.Fatal(err)
		}
		if !out.Changed || out.Revision != 3 || len(out.Before) > 0 || len(out.After) == 0 || (c.written() == "") != dry {
			t.Errorf("dry run %t: %+v, written %q", dry, out, c.written())
		}
	}
}

// Flux takes an edited record for tampered with, and upgrades to a revision without
// the edit. What changes nothing is no edit.
func TestFluxKeepsItsRecord(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../postrender/testdata/controller.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ours := fmt.Sprintf(`{"name": "job", "kind": "Job", "manifest": %q}`, "metadata:\n  labels: {app.kubernetes.io/name: arc-cleanup}\n  annotations: {helm.sh/hook: pre-delete}\n")
	target := chart.Release{Name: "arc", Namespace: "ns"}
	for name, labels := range map[string]string{
		"a block":         "\nlabels:\n  helm.toolkit.fluxcd.io/name: arc-of-flux\n  helm.toolkit.fluxcd.io/namespace: flux-system",
		"on one line":     "\nlabels: {helm.toolkit.fluxcd.io/name: arc-of-flux}",
		"":                "\nlabels: {helm.toolkit.fluxcd.io/names: arc-of-flux}",
		"an annotation":   "\nannotations: {helm.toolkit.fluxcd.io/name: arc-of-flux}",
		"no name in them": "\nlabels: {helm.toolkit.fluxcd.io/name: ''}",
	} {
		flux := name == "a block" || name == "on one line"
		more := "\n---\nkind: ConfigMap\napiVersion: v1\nmetadata:\n  name: more" + strings.ReplaceAll(labels, "\n", "\n  ") + "\ndata: {}\n"
		c := &cluster{revision: 3, status: []string{"deployed"}, manifest: string(text) + more, hooks: ours}
		client := c.start(t)
		for what, do := range []func() (*Outcome, error){
			func() (*Outcome, error) { return Enrol(t.Context(), client, target, named, true) },
			func() (*Outcome, error) { return Unenrol(t.Context(), client, target, false) },
			func() (*Outcome, error) { return Enrol(t.Context(), client, target, named, false) },
		} {
			_, err := do()
			var unfit release.Unfit
			if errors.As(err, &unfit) != flux || flux && !strings.Contains(err.Error(), `belongs to Flux's HelmRelease "arc-of-flux"`) || !flux && err != nil {
				t.Errorf("%s, %d: %v", name, what, err)
			}
		}
		if out, err := Put(t.Context(), client, target, nil, false); err != nil || out.Changed {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		if (c.written() == "") != flux {
			t.Errorf("%s: written %q", name, c.written())
		}
	}
}

// Another release's hook goes into one that has none; one that is there stays; and a
// hook that cannot be rendered takes none away.
func TestPut(t *testing.T) {
	t.Parallel()
	target := chart.Release{Name: "arc", Namespace: "ns"}
	mine := fmt.Sprintf(`{"name": "job", "kind": "Job", "manifest": %q}`, ours)
	for name, test := range map[string]struct {
		hooks   string
		changed bool
	}{
		"none":    {"", true},
		"theirs":  {fmt.Sprintf(`{"name": "job", "kind": "Job", "manifest": %q}`, theirs), true},
		"another": {mine, false},
	} {
		c := &cluster{revision: 3, status: []string{"deployed"}, manifest: "kind: Pod\n", hooks: test.hooks}
		client := c.start(t)
		if out, err := Put(t.Context(), client, target, hooks(t, newer), false); err != nil || out.Changed != test.changed || (c.written() != "") != test.changed {
			t.Errorf("%s: %+v, %v, written %q", name, out, err, c.written())
		}
		c.server.Writes = nil
		if out, err := Enrol(t.Context(), client, target, nil, false); !errors.As(err, new(release.Unfit)) || c.written() != "" {
			t.Errorf("%s: %+v, %v, written %q", name, out, err, c.written())
		}
	}
}

func TestFromCluster(t *testing.T) {
	t.Parallel()
	target := chart.Release{Name: "arc", Namespace: "ns"}
	rendered, err := chart.Render(target, named)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := chart.Enroller(target, named, rendered)
	if err != nil {
		t.Fatal(err)
	}
	var with strings.Builder
	for _, o := range objects {
		with.WriteString("---\n" + o.Manifest + "\n")
	}
	const theirs = `{"name": "test", "kind": "Pod", "manifest": "kind: Pod"}`
	ours := fmt.Sprintf(`{"name": "job", "kind": "Job", "manifest": %q}`, "metadata:\n  labels: {app.kubernetes.io/name: arc-cleanup}\n  annotations: {helm.sh/hook: pre-delete}\n")

	tests := map[string]struct {
		c        *cluster
		patience time.Duration
		hooks    int // written, of all; 0: nothing
		scaled   []string
		say      []string // parts, in this order
		err      string
	}{
		"deployed": {
			c:     &cluster{release: "arc", revision: 1, status: []string{"deployed"}, manifest: with.String()},
			hooks: 3, scaled: []string{"0"}, say: []string{"enrolled: revision 1 of release arc has the hook"},
		},
		"beside the chart's own hooks": {
			c:     &cluster{release: "arc", revision: 1, status: []string{"deployed"}, manifest: with.String(), hooks: theirs},
			hooks: 4, scaled: []string{"0"}, say: []string{"enrolled"},
		},
		"deployed after a while": {
			c:     &cluster{release: "arc", revision: 2, status: []string{"pending-upgrade", "pending-upgrade", "deployed"}, manifest: with.String()},
			hooks: 3, scaled: []string{"0"}, say: []string{"waiting for Helm: revision 2 of release arc is pending-upgrade", "enrolled: revision 2"},
		},
		"the hook is there": {
			c:      &cluster{release: "arc", revision: 4, status: []string{"deployed"}, manifest: with.String(), hooks: ours},
			scaled: []string{"0"}, say: []string{"revision 4 of release arc has the hook already"},
		},
		"the post-renderer was dropped": {
			c:      &cluster{release: "arc", revision: 2, status: []string{"deployed"}, manifest: "kind: Pod\n"},
			scaled: []string{"0"}, say: []string{"revision 2 of release arc was rendered without the post-renderer"},
		},
		// Helm does not write a failed revision again, and runs its hooks.
		"failed": {
			c:     &cluster{release: "arc", of: "ns", revision: 2, status: []string{"pending-upgrade", "failed"}, manifest: with.String()},
			hooks: 3, scaled: []string{"0"}, say: []string{"waiting for Helm", "enrolled: revision 2"},
		},
		// namespaceOverride puts ARC's objects, and the enroller with them, elsewhere.
		"in another namespace than the release": {
			c: &cluster{release: "arc", of: "systems", revision: 1, status: []string{"deployed"}, manifest: with.String()}, scaled: []string{"0"},
			say: []string{"release arc is in namespace systems, and its enroller in ns (namespaceOverride), where the record is not; add --post-renderer-args=--namespace --post-renderer-args=systems to the command line of Helm, or use `arc-cleanup enrol arc --namespace systems`"},
		},
		"uninstalled":  {c: &cluster{release: "arc", revision: 1, status: []string{"uninstalled"}}, scaled: []string{"0"}, say: []string{"only its history is kept"}},
		"uninstalling": {c: &cluster{release: "arc", revision: 1, status: []string{"uninstalling"}}, scaled: []string{"0"}, say: []string{"is uninstalling"}},
		// Permanent errors are not retried for ever.
		"a hook that is no JSON": {
			c: &cluster{release: "arc", revision: 1, status: []string{"deployed"}, manifest: strings.Replace(with.String(), `"[{`, `"[`, 1)}, scaled: []string{"0"},
			say: []string{"revision 1 of release arc: reading the hook: "},
		},
		"an unreadable record": {
			c: &cluster{release: "arc", revision: 1, status: []string{"deployed"}, hooks: "]"}, scaled: []string{"0"}, say: []string{"not in Helm's format"},
		},
		"no record":       {c: &cluster{release: "arc"}, scaled: []string{"0"}, say: []string{"HELM_DRIVER=sql"}},
		"applied by hand": {c: &cluster{}, scaled: []string{"0"}, say: []string{"the Deployment was not installed by Helm"}},
		"gone":            {c: &cluster{gone: true}, say: []string{"the Deployment is gone"}},
		"pending for ever": {
			c: &cluster{release: "arc", revision: 1, status: []string{"pending-install"}}, patience: 300 * time.Millisecond,
			scaled: []string{"0"}, say: []string{"waiting for Helm", "is pending-install (revision 1): Helm is at work on it"},
		},
		// Helm has begun a revision, and has not seen the zero yet.
		"upgraded at the end": {
			c: &cluster{release: "arc", revision: 1, status: []string{"deployed"}, manifest: with.String(), onZero: func(c *cluster) {
				c.revision, c.status = 2, []string{"pending-upgrade"}
				c.store()
			}},
			hooks: 3, scaled: []string{"0", "1"}, say: []string{"enrolled: revision 1"},
		},
		// Whether Helm has begun another revision is not known then.
		"a right is taken away": {
			c: &cluster{release: "arc", revision: 1, status: []string{"deployed"}, manifest: with.String(), onZero: func(c *cluster) {
				c.forbidden = "LIST secret ns"
			}},
			hooks: 3, scaled: []string{"0"}, say: []string{"enrolled: revision 1"}, err: "listing secrets in namespace ns",
		},
		"a right is missing":       {c: &cluster{release: "arc", forbidden: "LIST secret ns"}, err: "listing secrets in namespace ns"},
		"not allowed to end":       {c: &cluster{release: "arc", forbidden: "PATCH " + deployment + "/scale"}, say: []string{"HELM_DRIVER"}, err: "scaling Deployment ns/arc-arc-cleanup-enrol to 0"},
		"not allowed to know whom": {c: &cluster{forbidden: "GET " + deployment}, err: "reading deployments.apps/arc-arc-cleanup-enrol in namespace ns"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := test.c.start(t)
			var said []string
			err = FromCluster(t.Context(), client, "ns", "arc-arc-cleanup-enrol", gocmp.Or(test.patience, time.Minute), func(text string) { said = append(said, text) })
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.scaled, test.c.scaled); diff != "" {
				t.Errorf("scaled: %s", diff)
			}
			if len(said) != len(test.say) {
				t.Fatalf("said %q, want %q", said, test.say)
			}
			for i, want := range test.say {
				if !strings.Contains(said[i], want) {
					t.Errorf("said %q, want %q", said[i], want)
				}
			}
			var hooks []any
			if test.c.written() != "" {
				if err := json.Unmarshal([]byte(test.c.written()), &hooks); err != nil {
					t.Error(err)
				}
			}
			if len(hooks) != test.hooks {
				t.Errorf("%d hooks were written, want %d", len(hooks), test.hooks)
			}
		})
	}

	t.Run("told to stop", func(t *testing.T) {
		t.Parallel()
		c := &cluster{release: "arc", revision: 1, status: []string{"pending-install"}}
		client := c.start(t)
		stop := fmt.Errorf("told to stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		err = FromCluster(ctx, client, "ns", "arc-arc-cleanup-enrol", time.Minute, func(string) { cancel(stop) })
		if err != stop || len(c.scaled) > 0 { //nolint:errorlint // the very cause
			t.Errorf("error %v, scaled %v", err, c.scaled)
		}
	})
}
