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
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

const (
	// explainTime bounds the rendering of a chart out of a record, whose templates are
	// whoever's who may write records there.
	explainTime = 30 * time.Second
	// named is how many objects are named that are not as they were rendered.
	named = 5
)

// explain adds to a plan which releases are not what their charts render with their
// values. A post-renderer of the user's makes such a difference; nothing in a release
// says that there was one, and without it an installation loses what it did.
func (u *Upgrade) explain(ctx context.Context, s Situation, p *Plan) {
	type answer struct {
		changed []string
		err     error
	}
	answers := make([]answer, len(s.Found))
	var g errgroup.Group
	g.SetLimit(renders)
	for i, f := range s.Found {
		if f.Status != release.Deployed || f.record == nil {
			continue
		}
		g.Go(func() error {
			answers[i].changed, answers[i].err = u.Helm.changed(ctx, f)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	for i, a := range answers {
		f := s.Found[i]
		switch {
		case a.err != nil:
			p.Notes = append(p.Notes, fmt.Sprintf("whether a post-renderer has changed release %s cannot be told: %s", f, printable(a.err.Error())))
		case len(a.changed) > 0:
			what := strings.Join(a.changed[:min(named, len(a.changed))], ", ")
			if more := len(a.changed) - named; more > 0 {
				what += fmt.Sprintf(" and %d more", more)
			}
			by := "a post-renderer has changed it, perhaps, and would not be run"
			if u.Helm.PostRenderer != "" {
				by = "the post-renderer that is given is not the one which has changed it"
			}
			p.Confirm = append(p.Confirm, plan.Refusal{
				Verdict: plan.Refused,
				Message: fmt.Sprintf("release %s is not what its chart renders with its values: %s: %s", f, by, printable(what)),
				Do:      []string{"give the post-renderer with which it was installed: --post-renderer, --post-renderer-args"},
			})
		}
	}
}

// source is what a record holds of a chart (helm.sh/helm pkg/chart, Chart).
type source struct {
	Metadata, Values json.RawMessage
	Schema           []byte
	Templates, Files []struct {
		Name string
		Data []byte
	}
}

var errDependencies = errors.New("its chart has dependencies, which Helm does not store")

// changed renders the chart in a record with the values there, and names the objects
// which the record has otherwise. The cluster is not asked: the templates may be
// anybody's, and would see it with our rights.
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
	is, now := documents([]byte(f.record.Manifest), f.Namespace), documents(out, f.Namespace)
	var changed []string
	for key, object := range is {
		if !reflect.DeepEqual(object, now[key]) {
			changed = append(changed, key)
		}
	}
	for key := range now {
		if is[key] == nil {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	return changed, nil
}

// unpackChart writes a chart into a folder, and nowhere else.
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
	defer root.Close() //nolint:errcheck // what was written is closed
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

// account gives ARC's scale-set chart the controller's ServiceAccount, as the release
// has it: unless it is among the values, the chart looks it up in the cluster.
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

// documents are the objects of a stream, but ours, by what Kubernetes knows them by.
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
		if hook.IsEnroller(m.Labels) || hook.IsOurs(m.Labels, m.Annotations) {
			continue
		}
		out[fmt.Sprintf("%s %s/%s", known.Kind, cmp.Or(m.Namespace, namespace), m.Name)] = withoutNull(object)
	}
	return out
}

// withoutNull drops what is null: Helm 4 does, when it has a stream post-rendered.
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
