package chart

import (
	"os/exec"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
)

const unreleased = "this chart is not a published one, so it has no image"

// An image of the default name is used only by its digest, which a release has.
func TestImage(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0f", 32)
	const ours = "ghcr.io/arc-cleanup/arc-hookjob"
	tests := map[string]struct {
		image map[string]any
		want  string
	}{
		"the default":            {map[string]any{"repository": ours}, ""},
		"the default with a tag": {map[string]any{"repository": ours, "tag": "v1"}, ""},
		"a release":              {map[string]any{"repository": ours, "digest": digest}, ours + "@" + digest},
		"another name":           {map[string]any{"repository": "registry.example/x", "tag": "v1"}, "registry.example/x:v1"},
		"a release's, elsewhere": {map[string]any{"repository": "registry.example/x", "digest": digest}, "registry.example/x@" + digest},
	}
	for name, test := range tests {
		hooks, err := Render(arcRelease, map[string]any{"image": test.image})
		switch {
		case test.want == "":
			if err == nil || !strings.Contains(err.Error(), unreleased) {
				t.Errorf("%s: got %v", name, err)
			}
		case err != nil || !strings.Contains(hooks[len(hooks)-1].Manifest, `image: "`+test.want+`"`):
			t.Errorf("%s: %v", name, err)
		}
	}
	if hooks, err := Render(arcRelease, map[string]any{"image": tests["the default"].image, "enabled": false}); err != nil || len(hooks) > 0 {
		t.Errorf("switched off: %v", err)
	}
}

// The chart that make writes for a release, and the binaries that make links with the digest, use the image
// by its digest.
func TestReleasedChart(t *testing.T) {
	digest, dir := "sha256:"+strings.Repeat("0f", 32), t.TempDir()
	const image = "registry.example:5000/team/arc-hookjob"
	want := `image: "ghcr.io/arc-cleanup/arc-hookjob@` + digest + `"`
	release := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "make", append([]string{"-C", "../..", "chart", "CHART_DIR=" + dir}, args...)...).CombinedOutput()
		return string(out), err
	}
	for _, bad := range []string{"", "latest", "sha256:0f", digest + "0"} {
		if out, err := release("DIGEST="+bad, "IMAGE="+image); err == nil || !strings.Contains(out, "make chart needs DIGEST=sha256:") {
			t.Errorf("DIGEST=%s: %v\n%s", bad, err, out)
		}
	}
	for _, bad := range [][]string{{}, {"IMAGE="}, {"IMAGE=a|b"}} {
		if out, err := release(append(bad, "DIGEST="+digest)...); err == nil || !strings.Contains(out, "make chart needs IMAGE=REGISTRY/NAME") {
			t.Errorf("%s: %v\n%s", bad, err, out)
		}
	}
	if out, err := release("DIGEST="+digest, "IMAGE="+image); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c, err := loader.Load(dir + "/arc-cleanup")
	if err != nil {
		t.Fatal(err)
	}
	if job := byHelm(t, c, arcRelease, nil)["arc-cleanup/templates/job.yaml"]; !strings.Contains(job, `image: "`+image+"@"+digest+`"`) {
		t.Errorf("the chart's Job does not take the image by its digest:\n%s", job)
	}
	if images := c.Metadata.Annotations["artifacthub.io/images"]; !strings.Contains(images, "image: "+image+"@"+digest+"\n") {
		t.Errorf("artifacthub.io/images is %s", images)
	}

	binary := dir + "/arc-postrender"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "-ldflags", "-X github.com/arc-cleanup/arc-cleanup/internal/chart.imageDigest="+digest, "../../cmd/postrender")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "--helm", "4")
	cmd.Stdin = strings.NewReader("kind: Deployment\nmetadata:\n  name: c\n  namespace: systems\n  labels: {app.kubernetes.io/instance: arc, actions.github.com/controller-service-account-name: c}\n")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("the binary does not take the image by its digest: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "make", "-C", "../..", "--dry-run", "build", "DIGEST="+digest).CombinedOutput(); err != nil || !strings.Contains(string(out), "internal/chart.imageDigest="+digest) {
		t.Errorf("make build does not link it: %v\n%s", err, out)
	}
}
