package cleanup

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// errRecorded is why a run does not remove what only a record names. The record could name any Secret and any server, and whoever
// may write it could send that Secret there. So the scale sets' own credentials are not used for it.
var errRecorded = errors.New("an earlier run ended before GitHub had removed it, and credentials were not given to this run")

// writeDown creates a Secret that names what is registered at GitHub. Each round that frees more makes another one.
func writeDown(ctx context.Context, c *kube.Client, name types.NamespacedName, records []plan.Record) (*object.Object, error) {
	data, err := plan.PackRecords(records)
	if err != nil {
		return nil, err
	}
	kept := &object.Object{Resource: object.Secrets, Namespace: name.Namespace, Name: name.Name}
	for n := 2; ; n++ {
		created, err := c.Create(ctx, object.Secrets, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"metadata": map[string]any{
				"name": kept.Name, "namespace": kept.Namespace,
				"labels": map[string]any{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "registered"},
			},
			"data": map[string]any{survey.RecordKey: base64.StdEncoding.EncodeToString(data)},
		}})
		switch {
		case err == nil:
			kept.UID = created.GetUID()
			return kept, nil
		case !apierrors.IsAlreadyExists(err) || n > backups:
			return nil, err
		}
		kept.Name = fmt.Sprintf("%s-%d", name.Name, n)
	}
}

// writeDown executes the step that writes records. GitHub must not keep a hook from the cluster.
func (r *run) writeDown(ctx context.Context, records []plan.Record) error {
	secret, err := writeDown(ctx, r.client, r.options.Record, records)
	switch {
	case err != nil && r.options.Job != "":
		r.log.Warn().Err(err).Msg("what is registered at GitHub is not written down: if this Pod is killed, no other one knows it")
		return nil
	case err != nil:
		return fmt.Errorf("writing down what is registered at GitHub: %w (without it: --github keep)", err)
	}
	r.log.Debug().Stringer("object", secret).Int("sets", len(records)).Msg("wrote down what is registered at GitHub")
	r.report.Done = append(r.report.Done, plan.Step{Action: plan.WriteDown, Object: secret})
	return nil
}

// noteRecorded adds to the report what earlier runs have freed. Only a person's credentials are used for it, which go to the place
// that the person names.
func (r *run) noteRecorded(records []plan.Record) {
	noted, accesses := map[string]bool{}, map[string]*access{}
	for _, reg := range r.report.Registered {
		noted[registrationKey(reg.Registration)] = true
	}
	for _, reg := range plan.RecordedRegistrations(records) {
		if noted[registrationKey(reg)] {
			continue
		}
		set := reg.Planned() // its runners have the same access
		if accesses[set] == nil {
			accesses[set] = recordedAccess(reg, r.person.GitHub)
		}
		r.report.Registered = append(r.report.Registered, Registration{Registration: reg, recorded: accesses[set]})
	}
}

func recordedAccess(reg plan.Registration, own *github.Own) *access {
	a := &access{what: reg.Planned()}
	var u github.ConfigURL
	if u, a.err = github.ParseConfigURL(reg.Set.URL); a.err != nil {
		return a
	}
	is := false
	if a.Access, is = own.For(u); !is {
		a.err = errRecorded
	}
	return a
}

// registrationKey tells registrations of the same object apart: a set that was installed again for another organisation can have
// the same id there.
func registrationKey(reg plan.Registration) string {
	return reg.Object.String() + " " + reg.Planned()
}

// takeAway deletes the records of which nothing is registered any more, and names the others.
func (r *run) takeAway(ctx context.Context, s *plan.Survey) {
	gone := map[string]bool{}
	for _, reg := range r.report.Registered {
		gone[registrationKey(reg.Registration)] = !reg.Stays()
	}
	stays := map[*object.Object]bool{}
	for _, record := range s.Records {
		for _, reg := range record.Registrations() {
			stays[record.In] = stays[record.In] || !gone[registrationKey(reg)]
		}
	}
	for secret, stays := range stays {
		if stays {
			r.report.Records = append(r.report.Records, secret)
			continue
		}
		err := r.client.Delete(ctx, *secret, metav1.DeletePropagationBackground)
		if err == nil && len(secret.Finalizers) > 0 {
			err = fmt.Errorf("%s is held by %s", secret, strings.Join(secret.Finalizers, ", "))
		}
		if err != nil {
			r.log.Warn().Err(err).Msg("a Secret that names what was registered at GitHub is left")
			continue
		}
		r.report.Done = append(r.report.Done, plan.Step{Action: plan.Delete, Object: secret})
	}
	for _, bad := range s.BadRecords { // more may be registered
		r.report.Records = append(r.report.Records, bad.Object)
	}
	r.unreadRecords = len(s.BadRecords) > 0
}
