package survey

import (
	"context"
	"encoding/base64"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

const (
	// RecordKey is the key of a record in its Secret.
	RecordKey = "registered.json.gz"
	// maxRecords limits how many records a run reads: whoever may write Secrets in that namespace can make as many as they like.
	maxRecords = 10
)

// records reads what runs have written down of scale sets at GitHub. A Secret that is not a record is named and keeps no run
// from the cluster.
func (r *reading) records() {
	in := r.o.Record.Namespace
	if in == "" || r.o.Scope == plan.ScopeLegacy || r.o.Job != "" && r.o.GitHub != plan.Deregister {
		return
	}
	r.read("what earlier runs wrote down of GitHub", func(add func(func())) error {
		seen, names := 0, 0
		err := r.c.EachPage(r.ctx, object.Secrets, in, plan.RecordLabel, func(page []unstructured.Unstructured) error {
			for _, u := range page {
				secret := &object.Object{Resource: object.Secrets, Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), Finalizers: u.GetFinalizers()}
				var records []plan.Record
				err := fmt.Errorf("a run reads at most %d of these", maxRecords)
				if seen++; seen <= maxRecords {
					records, err = unpackRecords(u, secret)
					for _, record := range records {
						names += 1 + len(record.Runners)
					}
				}
				if names > plan.RecordNames && err == nil {
					records, err = nil, fmt.Errorf("a run reads no more names of scale sets and runners than %d", plan.RecordNames)
				}
				add(func() {
					if err != nil {
						r.s.BadRecords = append(r.s.BadRecords, plan.Finding{
							Object: secret, Why: fmt.Sprintf("it says that it names what is registered at GitHub, and was not read: %v", err),
						})
					}
					r.s.Records = append(r.s.Records, records...)
				})
			}
			return nil
		})
		if err != nil && r.o.Job != "" {
			add(func() { r.s.RecordsErr = err })
			return nil
		}
		return err
	})
}

// recordsBeside names the records in other namespaces, as of a run by another person. Any tenant can have made them, so the run
// does not read them.
func recordsBeside(ctx context.Context, c *kube.Client, o plan.Options) (out []plan.Remain) {
	more := 0
	err := c.Each(ctx, object.Secrets, "", metav1.ListOptions{LabelSelector: plan.RecordLabel}, func(m *metav1.PartialObjectMetadata) error {
		switch {
		case m.Namespace == o.Record.Namespace:
		case len(out) == maxRecords:
			more++
		default:
			out = append(out, plan.Remain{
				What: fmt.Sprintf("the Secret %s in namespace %s, in which a run wrote down what is registered at GitHub, as far as its labels say", m.Name, m.Namespace),
				Do:   []string{"run it again in that namespace: " + shell.Command("kubectl", "config", "set-context", "--current", "--namespace", m.Namespace)},
			})
		}
		return nil
	})
	if err != nil {
		return append(out, plan.Remain{What: unreadBeside + err.Error()})
	}
	if more > 0 {
		out = append(out, plan.Remain{What: english.Count(more, "more such Secret")})
	}
	return out
}

func unpackRecords(u unstructured.Unstructured, in *object.Object) ([]plan.Record, error) {
	encoded, _, err := unstructured.NestedString(u.Object, "data", RecordKey)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	return plan.UnpackRecords(data, in)
}
