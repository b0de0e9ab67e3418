package upgrade

import (
	"fmt"

	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

const (
	// labelFlux and labelKustomization are Flux's labels on the objects of a HelmRelease and of a
	// Kustomization (fluxcd/helm-controller internal/postrender/origin_labels.go; fluxcd/pkg ssa).
	labelFlux          = "helm.toolkit.fluxcd.io/name"
	labelKustomization = "kustomize.toolkit.fluxcd.io/name"
)

// gitops is the tool that keeps an object as a repository says.
type gitops struct {
	// kind is its kind, and name is its name.
	kind, name string
	// verb and key are kubectl's word and the key of the mark on the object.
	verb, key string
}

// gitopsOf returns the tool that an object's labels and annotations name.
func gitopsOf(labels, annotations map[string]string) gitops {
	switch {
	case labels[labelFlux] != "":
		return gitops{"Flux's HelmRelease", labels[labelFlux], "label", labelFlux}
	case labels[labelKustomization] != "":
		return gitops{"Flux's Kustomization", labels[labelKustomization], "label", labelKustomization}
	case annotations[survey.TrackingID] != "":
		return gitops{"Argo CD's application", annotations[survey.TrackingID], "annotate", survey.TrackingID}
	}
	return gitops{}
}

// flux is the name of the HelmRelease; "" if there is none.
func (g gitops) flux() string {
	if g.key == labelFlux {
		return g.name
	}
	return ""
}

func (g gitops) String() string { return fmt.Sprintf("%s %q", g.kind, printable(g.name)) }

// wayOut says what to do before an upgrade in place.
func (g gitops) wayOut(resource string, of claimant) []string {
	return []string{
		"change the version of the chart there instead; or suspend " + g.kind + " and remove its mark:",
		shell.Command("kubectl", g.verb, resource, of.Name, "--namespace", of.Namespace, g.key+"-"),
	}
}
