package helmsdk

import (
	"io"
	"path/filepath"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/kube"
	kubefake "helm.sh/helm/v4/pkg/kube/fake"
	"helm.sh/helm/v4/pkg/postrenderer"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// client4 notes what Helm reads, and does nothing.
type client4 struct {
	kubefake.PrintingKubeClient
	created created
}

func (c *client4) Build(r io.Reader, checked bool) (kube.ResourceList, error) {
	return nil, c.created.note(r, checked)
}

// TestHelm4Strategies: whichever way Helm 4 passes hooks and manifests to a
// post-renderer, the hook is in the release once, runs once, at the uninstall, and
// the chart's own hook stays.
func TestHelm4Strategies(t *testing.T) {
	for _, strategy := range []action.PostRenderStrategy{
		action.PostRenderStrategyCombined, action.PostRenderStrategySeparate, action.PostRenderStrategyNoHooks,
	} {
		t.Run(string(strategy), func(t *testing.T) {
			client := &client4{PrintingKubeClient: kubefake.PrintingKubeClient{Out: io.Discard, LogOutput: io.Discard}}
			config := action.NewConfiguration()
			config.Releases = storage.Init(driver.NewMemory())
			config.KubeClient = client
			config.Capabilities = common.DefaultCapabilities
			settings := cli.New()
			settings.PluginsDirectory = plugins
			via, err := postrenderer.NewPostRendererPlugin(settings, "arc-postrender")
			if err != nil {
				t.Fatal(err)
			}
			arc, err := loader.Load(filepath.Join(charts, "gha-runner-scale-set-controller"))
			if err != nil {
				t.Fatal(err)
			}
			arc.Templates = append(arc.Templates, &common.File{Name: "templates/theirs.yaml", Data: []byte(theirs)})

			install := action.NewInstall(config)
			install.ReleaseName, install.Namespace = "arc", "arc-systems"
			install.SkipCRDs = true // they never reach a post-renderer
			install.WaitStrategy = kube.HookOnlyStrategy
			install.PostRenderer, install.PostRenderStrategy = via, strategy
			if _, err := install.Run(arc, nil); err != nil {
				t.Fatal(err)
			}
			hookedOnce(t, hooks4(t, config))

			upgrade := action.NewUpgrade(config)
			upgrade.Namespace, upgrade.WaitStrategy = "arc-systems", kube.HookOnlyStrategy
			upgrade.PostRenderer, upgrade.PostRenderStrategy = via, strategy
			if _, err := upgrade.Run("arc", arc, nil); err != nil {
				t.Fatal(err)
			}
			hookedOnce(t, hooks4(t, config))
			if n := client.created.jobs(); n != 0 {
				t.Errorf("before the uninstall the Job was created %d times", n)
			}

			uninstall := action.NewUninstall(config)
			uninstall.WaitStrategy = kube.HookOnlyStrategy
			if _, err := uninstall.Run("arc"); err != nil {
				t.Fatal(err)
			}
			if n := client.created.jobs(); n != 1 {
				t.Errorf("the uninstall created the Job %d times", n)
			}
		})
	}
}

// hooks4 are the hooks in the newest record.
func hooks4(t *testing.T, config *action.Configuration) []hook {
	t.Helper()
	newest, err := config.Releases.Last("arc")
	if err != nil {
		t.Fatal(err)
	}
	var out []hook
	for _, h := range newest.(*release.Release).Hooks {
		out = append(out, hook{h.Kind, h.Name})
	}
	return out
}
