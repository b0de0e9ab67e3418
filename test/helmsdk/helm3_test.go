package helmsdk

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube"
	kubefake "helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/postrender"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// client3 notes what Helm creates, and does nothing.
type client3 struct {
	kubefake.PrintingKubeClient
	created created
}

func (c *client3) Build(r io.Reader, checked bool) (kube.ResourceList, error) {
	return nil, c.created.note(r, checked)
}

// TestHelm3 is what Terraform and Pulumi do. Helm 3 takes no hook from a
// post-renderer: what the release installs is the enroller, and no Job.
func TestHelm3(t *testing.T) {
	client := &client3{PrintingKubeClient: kubefake.PrintingKubeClient{Out: io.Discard, LogOutput: io.Discard}}
	config := &action.Configuration{
		Releases: storage.Init(driver.NewMemory()), KubeClient: client,
		Capabilities: chartutil.DefaultCapabilities, Log: t.Logf,
	}
	via, err := postrender.NewExec(renderer)
	if err != nil {
		t.Fatal(err)
	}
	arc, err := loader.Load(filepath.Join(charts, "gha-runner-scale-set-controller"))
	if err != nil {
		t.Fatal(err)
	}
	arc.Templates = append(arc.Templates, &chart.File{Name: "templates/theirs.yaml", Data: []byte(theirs)})

	install := action.NewInstall(config)
	install.ReleaseName, install.Namespace, install.PostRenderer = "arc", "arc-systems", via
	first, err := install.Run(arc, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Hooks) != 1 || first.Hooks[0].Name != "theirs" {
		t.Errorf("hooks: %v", first.Hooks)
	}
	if !strings.Contains(first.Manifest, "kind: Deployment\nmetadata:\n  name: arc-arc-cleanup-enrol\n") {
		t.Errorf("the enroller is not in the manifest:\n%s", first.Manifest)
	}

	upgrade := action.NewUpgrade(config)
	upgrade.Namespace, upgrade.PostRenderer = "arc-systems", via
	second, err := upgrade.Run("arc", arc, nil)
	if err != nil {
		t.Fatal(err)
	}
	if second.Manifest != first.Manifest {
		t.Error("rendered twice, the manifest differs")
	}
	if _, err := action.NewUninstall(config).Run("arc"); err != nil {
		t.Fatal(err)
	}
	if n := client.created.jobs(); n != 0 {
		t.Errorf("the Job was created %d times", n)
	}
}
