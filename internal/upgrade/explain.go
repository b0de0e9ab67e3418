package upgrade

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

const (
	// explainTime bounds the rendering of a chart from a record. Whoever may write the record decides what
	// its templates do.
	explainTime = 30 * time.Second
	// named is how many changed objects are named.
	named = 5
)

// explain asks about releases that are not what their charts render with their values. A user's
// post-renderer makes such a difference. Nothing in a release says that there was one, and an
// installation without it loses what it did.
func (u *Upgrade) explain(ctx context.Context, s Situation, p *Plan) {
	type answer struct {
		changed []string
		err     error
	}
	answers := make([]answer, len(s.Found))
	var g errgroup.Group
	g.SetLimit(renders)
	for i, f := range s.Found {
		if f.Status != helm.Deployed || f.record == nil {
			continue
		}
		g.Go(func() error {
			answers[i].changed, answers[i].err = u.Helm.changed(ctx, f)
			return nil
		})
	}
	_ = g.Wait() // each answer has its own error
	for i, a := range answers {
		switch f := s.Found[i]; {
		case a.err != nil:
			p.note("whether a post-renderer has changed release %s is not known: %s", f, printable(a.err.Error()))
		case len(a.changed) > 0:
			u.confirmChanged(p, f, a.changed)
		}
	}
}

// confirmChanged asks about a release whose objects are not what its chart renders.
func (u *Upgrade) confirmChanged(p *Plan, f Found, changed []string) {
	what := strings.Join(changed[:min(named, len(changed))], ", ")
	if more := len(changed) - named; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	by := "a post-renderer may have changed it, and would not be run"
	if u.Helm.PostRenderer != "" {
		by = "another post-renderer than the given one may have changed it"
	}
	p.confirm(fmt.Sprintf("release %s is not what its chart renders with its values: %s: %s", f, by, printable(what)),
		"give the post-renderer with which it was installed: --post-renderer, --post-renderer-args")
}

// source is a chart in a record (helm.sh/helm pkg/chart, Chart).
type source struct {
	Metadata, Values json.RawMessage
	Schema           []byte
	Templates, Files []struct {
		Name string
		Data []byte
	}
}

var errDependencies = errors.New("its chart has dependencies, which Helm does not store")

// changed renders the chart in a record with the values there, and names the objects that differ from the
// record's. The templates cannot look anything up in the cluster: a tenant may have written them, and they
// would have the user's rights.
func (h *Helm) changed(ctx context.Context, f Found) ([]string, error) {
	text, err := f.record.Source()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "arc-cleanup-chart-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the chart of release %s: %w", f, err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if err := unpackChart(text, dir); err != nil {
		return nil, err
	}
	args := []string{"template", f.Name, dir, "--namespace", f.Namespace, "--values", "-", "--no-hooks", "--disable-openapi-validation"}
	if f.Revision > 1 {
		args = append(args, "--is-upgrade")
	}
	args = slices.Concat(args, account(f), h.postRenderer())
	out, err := h.run(ctx, explainTime, f.values(), f.Driver, args...)
	if err != nil {
		return nil, err
	}
	return difference(documents([]byte(f.record.Manifest), f.Namespace), documents(out, f.Namespace)), nil
}

// difference names the objects that are not the same in both maps.
func difference(a, b map[string]any) (out []string) {
	for key, object := range a {
		if !reflect.DeepEqual(object, b[key]) {
			out = append(out, key)
		}
	}
	for key := range b {
		if a[key] == nil {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// unpackChart writes a chart into a folder. No file name of the chart leads out of it.
func unpackChart(text json.RawMessage, dir string) error {
	var c source
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("reading the chart in its record: %w", err)
	}
	var metadata struct{ Dependencies []json.RawMessage }
	if err := json.Unmarshal(c.Metadata, &metadata); err != nil {
		return fmt.Errorf("reading the chart in its record: %w", err)
	}
	if len(metadata.Dependencies) > 0 {
		return errDependencies
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // the files in it are closed
	write := func(name string, data []byte) error {
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		return root.WriteFile(name, data, 0o600)
	}
	for _, file := range slices.Concat(c.Files, c.Templates) {
		if err := write(file.Name, file.Data); err != nil {
			return fmt.Errorf("writing the chart in its record: %w", err)
		}
	}
	// JSON is YAML.
	err = errors.Join(write("Chart.yaml", c.Metadata), write("values.yaml", c.Values))
	if len(c.Schema) > 0 {
		err = errors.Join(err, write("values.schema.json", c.Schema))
	}
	if err != nil {
		return fmt.Errorf("writing the chart in its record: %w", err)
	}
	return nil
}

// account returns the arguments that give ARC's scale-set chart the controller's ServiceAccount, which it
// takes from the release's RoleBinding. Without it among the values, the chart looks it up in the cluster.
func account(f Found) []string {
	var values struct {
		ControllerServiceAccount struct{ Name string }
	}
	if json.Unmarshal(f.values(), &values) == nil && values.ControllerServiceAccount.Name != "" || len(f.Sets) == 0 {
		return nil
	}
	for d := range manifest.Documents([]byte(f.record.Manifest)) {
		if !d.Contains("RoleBinding", "-manager") {
			continue
		}
		var o struct {
			Kind     string
			Metadata struct{ Name string }
			Subjects []struct{ Namespace, Name string }
		}
		if yaml.Unmarshal(d.Bytes(), &o) != nil || o.Kind != "RoleBinding" || !arc.IsManager(o.Metadata.Name) || len(o.Subjects) == 0 {
			continue
		}
		if of := o.Subjects[0]; isName(of.Name) && isName(of.Namespace) {
			return []string{
				"--set-string", "controllerServiceAccount.name=" + of.Name,
				"--set-string", "controllerServiceAccount.namespace=" + of.Namespace,
			}
		}
	}
	return nil
}

// documents returns the objects of a stream by kind, namespace and name, without those of arc-cleanup.
func documents(stream []byte, namespace string) map[string]any {
	out := map[string]any{}
	for d := range manifest.Documents(stream) {
		var object map[string]any
		var known struct {
			Kind     string
			Metadata struct {
				Namespace, Name     string
				Labels, Annotations map[string]string
			}
		}
		if yaml.Unmarshal(d.Bytes(), &object) != nil || yaml.Unmarshal(d.Bytes(), &known) != nil || known.Kind == "" {
			continue
		}
		m := known.Metadata
		if chart.IsEnroller(m.Labels) || chart.IsOurs(m.Labels, m.Annotations) {
			continue
		}
		out[fmt.Sprintf("%s %s/%s", known.Kind, cmp.Or(m.Namespace, namespace), m.Name)] = withoutNull(object)
	}
	return out
}

// withoutNull removes values that are null. Helm 4 does the same if there is a post-renderer.
func withoutNull(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			if item == nil {
				delete(v, key)
			} else {
				v[key] = withoutNull(item)
			}
		}
	case []any:
		for i, item := range v {
			v[i] = withoutNull(item)
		}
	}
	return value
}
