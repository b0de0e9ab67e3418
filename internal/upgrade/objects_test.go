package upgrade

import (
	"bytes"
	gocmp "cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
)

// versions are the API versions of kinds that are not of the core.
var versions = map[string]string{
	"Lease": "coordination.k8s.io/v1", "Deployment": "apps/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1",
	"AutoscalingRunnerSet": "actions.github.com/v1alpha1", "AutoscalingListener": "actions.github.com/v1alpha1",
}

// kind makes an object; extra goes over it.
func kind(kind, namespace, name string, extra kubeObject) kubeObject {
	o := kubeObject{"apiVersion": gocmp.Or(versions[kind], "v1"), "kind": kind, "metadata": map[string]any{"name": name}}
	if namespace != "" {
		metadata(o)["namespace"] = namespace
	}
	for key, value := range extra {
		if key == "labels" || key == "annotations" || key == "deletionTimestamp" {
			metadata(o)[key] = value
		} else {
			o[key] = value
		}
	}
	return o
}

func annotated(namespace, name string) map[string]any {
	return map[string]any{"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
}

// controllerAt is the Deployment of a controller called arc, of a release.
func controllerAt(namespace, releaseNamespace, releaseName string, args ...string) kubeObject {
	return kind("Deployment", namespace, "arc", kubeObject{
		"labels":      map[string]any{"actions.github.com/controller-service-account-name": "arc", "app.kubernetes.io/part-of": "gha-rs-controller"},
		"annotations": annotated(releaseNamespace, releaseName),
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "arc"}},
			"template": map[string]any{"spec": map[string]any{
				"serviceAccountName": "arc",
				"containers":         []any{map[string]any{"name": "manager", "command": []any{"/manager"}, "args": append([]any{"--auto-scaling-runner-set-only"}, anys(args)...)}},
			}},
		},
	})
}

func anys(texts []string) (out []any) {
	for _, t := range texts {
		out = append(out, t)
	}
	return out
}

// setAt is a scale set of a release.
func setAt(namespace, name, releaseNamespace, releaseName string) kubeObject {
	return kind("AutoscalingRunnerSet", namespace, name, kubeObject{"annotations": annotated(releaseNamespace, releaseName)})
}

// helmRecord is what Helm stores of a release.
type helmRecord struct {
	at, driver      string // where and how it is stored; default its namespace, Secret
	namespace, name string
	revision        int
	status          string
	manifest        string
	objects         []kubeObject
	values          string
	hooks           string
	chart           string
}

func (r helmRecord) object(t *testing.T) kubeObject {
	t.Helper()
	manifest := r.manifest
	for _, o := range r.objects {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		manifest += "---\n" + string(text) + "\n"
	}
	if r.status == "" {
		r.status = "deployed"
	}
	if r.values == "" {
		r.values = `{"of":"the user"}`
	}
	if r.hooks == "" {
		r.hooks = "[]"
	}
	if r.chart == "" {
		r.chart = `{"metadata": {"name": "scale-set", "version": "1"}}`
	}
	r.revision = max(r.revision, 1)
	text := fmt.Sprintf(`{"name": %q, "namespace": %q, "version": %d, "info": {"status": %q}, "manifest": %q, "config": %s, "hooks": %s, "chart": %s}`,
		r.name, r.namespace, r.revision, r.status, manifest, r.values, r.hooks, r.chart)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	data := base64.StdEncoding.EncodeToString(b.Bytes())
	at := r.at
	if at == "" {
		at = r.namespace
	}
	extra := kubeObject{
		"labels": map[string]any{"owner": "helm", "name": r.name, "version": fmt.Sprint(r.revision), "status": r.status},
		"data":   map[string]any{"release": data},
	}
	name := fmt.Sprintf("sh.helm.release.v1.%s.v%d", r.name, r.revision)
	if r.driver == "configmap" {
		return kind("ConfigMap", at, name, extra)
	}
	extra["type"] = "helm.sh/release.v1"
	extra["data"] = map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))}
	return kind("Secret", at, name, extra)
}
