package plan

import (
	"encoding/json"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// DocumentVersion is the version of a plan's JSON document. Within one version, fields may be
// added, but no field is removed or changes its meaning.
const DocumentVersion = "arc-cleanup/plan/v1"

// List is a slice whose JSON is never null, so that readers can always iterate over it.
type List[T any] []T

// MarshalJSON implements json.Marshaler.
func (l List[T]) MarshalJSON() ([]byte, error) { return json.Marshal(append([]T{}, l...)) }

// MarshalJSON returns the document that `plan --output json` prints.
func (p *Plan) MarshalJSON() ([]byte, error) {
	type fields Plan
	return json.Marshal(struct {
		Version string `json:"version"`
		// Digest is the argument for `run --confirm`. A plan that refuses or does nothing has none.
		Digest string `json:"digest,omitempty"`
		*fields
	}{DocumentVersion, p.Digest(), (*fields)(p)})
}

// MarshalJSON implements json.Marshaler. It leaves out the ranks, which readers do not need.
func (p Phase) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name  PhaseName  `json:"name"`
		Steps List[Step] `json:"steps"`
	}{p.Name, slices.Concat(p.Ranks...)})
}

// MarshalJSON implements json.Marshaler.
func (s Step) MarshalJSON() ([]byte, error) { return marshal(s.Action, s.Object, s.Why) }

// MarshalJSON implements json.Marshaler.
func (f Finding) MarshalJSON() ([]byte, error) { return marshal("", f.Object, f.Why) }

func marshal(action Action, o *object.Object, why string) ([]byte, error) {
	return json.Marshal(struct {
		Action    Action `json:"action,omitempty"`
		Group     string `json:"group"`
		Resource  string `json:"resource"`
		Namespace string `json:"namespace,omitempty"`
		Name      string `json:"name"`
		UID       string `json:"uid"`
		Why       string `json:"why,omitempty"`
	}{action, o.Resource.Group, o.Resource.Resource, o.Namespace, o.Name, string(o.UID), why})
}
