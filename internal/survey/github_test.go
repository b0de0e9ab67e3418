package survey

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// marked is in every Secret of these tests.
const marked = "MARKED-SECRET"

func aSecret(name string, data map[string]string) map[string]any {
	encoded := map[string]any{}
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": "runners"}, "data": encoded}
}

func aConfigMap(name string, data map[string]any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "runners"}, "data": data}
}

func githubSpec(change map[string]any) map[string]any {
	spec := map[string]any{"githubConfigUrl": "https://github.com/acme", "githubConfigSecret": "token"}
	for key, value := range change {
		spec[key] = value
	}
	return map[string]any{
		"apiVersion": arc.Group + "/v1alpha1", "kind": arc.AutoscalingRunnerSet,
		"metadata": map[string]any{"name": "set", "namespace": "runners", "uid": "1"}, "spec": spec,
	}
}

var theSet = &object.Object{Resource: arc.Resource(arc.AutoscalingRunnerSets), Namespace: "runners", Name: "set", UID: "1"}

func TestGitHubAccess(t *testing.T) {
	t.Parallel()
	elsewhere, err := github.ParseConfigURL("https://github.com/other")
	if err != nil {
		t.Fatal(err)
	}
	tls := func(name string) map[string]any {
		return map[string]any{"githubServerTLS": map[string]any{"certificateFrom": map[string]any{"configMapKeyRef": map[string]any{"name": name, "key": "ca.crt"}}}}
	}
	token := aSecret("token", map[string]string{"github_token": marked})
	for name, test := range map[string]struct {
		set     map[string]any
		objects []map[string]any
		own     *github.Own
		uid     string
		want    string
	}{
		"a token":           {set: githubSpec(nil), objects: []map[string]any{token}},
		"the set is gone":   {want: "reading autoscalingrunnersets.actions.github.com/set in namespace runners"},
		"the set is new":    {set: githubSpec(nil), uid: "2", want: "was replaced"},
		"no URL":            {set: githubSpec(map[string]any{"githubConfigUrl": marked + ":" + marked}), want: "githubConfigUrl: the URL does not begin with https://"},
		"a spec of a liar":  {set: githubSpec(map[string]any{"proxy": marked}), want: "its spec is not that of a scale set"},
		"no Secret":         {set: githubSpec(nil), want: "Secret runners/token does not exist"},
		"none named":        {set: githubSpec(map[string]any{"githubConfigSecret": ""}), want: "names no Secret"},
		"an empty Secret":   {set: githubSpec(nil), objects: []map[string]any{aSecret("token", map[string]string{"x": marked})}, want: "Secret runners/token: it has neither github_token nor github_app_id"},
		"half an App":       {set: githubSpec(nil), objects: []map[string]any{aSecret("token", map[string]string{"github_app_id": marked})}, want: "the ID of the App's installation is not a number"},
		"a bad key":         {set: githubSpec(nil), objects: []map[string]any{aSecret("token", map[string]string{"github_app_id": "1", "github_app_installation_id": "2", "github_app_private_key": marked})}, want: "not an RSA key"},
		"a large Secret":    {set: githubSpec(nil), objects: []map[string]any{aSecret("token", map[string]string{"github_token": strings.Repeat(marked, maxSecret/8)})}, want: "too large for credentials"},
		"a vault":           {set: githubSpec(map[string]any{"vaultConfig": map[string]any{"type": "azure_key_vault"}}), objects: []map[string]any{token}, want: "in a vault"},
		"a person's own":    {set: githubSpec(map[string]any{"githubConfigSecret": "none", "vaultConfig": map[string]any{"type": "v"}}), own: &github.Own{}},
		"own for elsewhere": {set: githubSpec(map[string]any{"githubConfigSecret": "none"}), own: &github.Own{URL: elsewhere}, want: "Secret runners/none does not exist"},
		"no proxy's Secret": {
			set: githubSpec(map[string]any{"proxy": map[string]any{"https": map[string]any{"url": "http://proxy", "credentialSecretRef": "proxy"}}}), objects: []map[string]any{token},
			want: "Secret runners/proxy does not exist",
		},
		"a bad proxy": {
			set: githubSpec(map[string]any{"proxy": map[string]any{"http": map[string]any{"url": "http://" + marked + "\x7f"}}}), objects: []map[string]any{token},
			want: "the scale set's proxy is not a URL",
		},
		"no CA":    {set: githubSpec(tls("ca")), objects: []map[string]any{token}, want: "configmaps/ca"},
		"a bad CA": {set: githubSpec(tls("ca")), objects: []map[string]any{token, aConfigMap("ca", map[string]any{"ca.crt": marked})}, want: "ConfigMap runners/ca: ca.crt has no certificate in PEM"},
		"a large CA": {
			set: githubSpec(tls("ca")), objects: []map[string]any{token, aConfigMap("ca", map[string]any{"ca.crt": strings.Repeat("x", maxRoots+1)})},
			want: "ca.crt is larger than the 64 KiB that a run keeps of it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := test.objects
			if test.set != nil {
				objects = append(objects, test.set)
			}
			_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Stored(objects...)...)...)
			set := *theSet
			if test.uid != "" {
				set.UID = types.UID(test.uid)
			}
			a, err := GitHubAccess(t.Context(), c, &set, test.own)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %q", err, test.want)
			}
			if said := fmt.Sprintf("%v %+v %#v %v", a, a, a, err); strings.Contains(said, marked) {
				t.Errorf("a secret is in %s", said)
			}
		})
	}
}

// The proxy is the one that ARC would take: with the user and the password of its Secret, and not for what noProxy names.
func TestProxyOfAScaleSet(t *testing.T) {
	t.Parallel()
	set := githubSpec(map[string]any{"proxy": map[string]any{
		"https": map[string]any{"url": "http://proxy:3128", "credentialSecretRef": "proxy"}, "noProxy": []any{"ghe.example", "10.0.0.0/8"},
	}})
	secrets := []map[string]any{aSecret("token", map[string]string{"github_token": "t"}), aSecret("proxy", map[string]string{"username": "u", "password": "p:/@"})}
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Stored(append(secrets, set)...)...)...)
	a, err := GitHubAccess(context.WithoutCancel(t.Context()), c, theSet, nil)
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"https://api.github.com/x": "http://u:p%3A%2F%40@proxy:3128",
		"https://ghe.example/x":    "",
		"https://10.1.2.3/x":       "",
		"http://api.github.com/x":  "",
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Proxy(u)
		if err != nil || got == nil && want != "" || got != nil && got.String() != want {
			t.Errorf("%s: %v, %v, want %q", to, got, err, want)
		}
	}
}
