package survey

import (
	"encoding/base64"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
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
		seen := 0
		err := r.c.EachPage(r.ctx, object.Secrets, in, plan.RecordLabel, 1, func(page []unstructured.Unstructured) error {
			for _, u := range page {
				secret := &object.Object{Resource: object.Secrets, Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID()}
				var records []plan.Record
				err := fmt.Errorf("a run reads %d of these Secrets at most", maxRecords)
				if seen++; seen <= maxRecords {
					records, err = unpackRecords(u, secret)
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
