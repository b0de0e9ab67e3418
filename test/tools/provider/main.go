// Command provider stands in for Terraform's provider hashicorp/helm, which no Go module proxy serves. Helm 3's SDK does the
// work, as it does in the provider: with the same options, taken from the configuration at install and upgrade, and from
// the state at a destroy. It has only the arguments that examples/terraform and the tests use.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/downloader"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/postrender"
	"helm.sh/helm/v3/pkg/release"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return helm{} },
		providerserver.ServeOpts{Address: "registry.terraform.io/hashicorp/helm"})
	if err != nil {
		log.Fatal(err)
	}
}

type helm struct{}

func (helm) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "helm"
}

func (helm) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (helm) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

func (helm) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (helm) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return helmRelease{} }}
}

// connect is Helm's way to the cluster, which KUBE_CONFIG_PATH names to the provider too.
func connect(namespace string) (*action.Configuration, error) {
	settings := settings()
	settings.SetNamespace(namespace)
	var config action.Configuration
	err := config.Init(settings.RESTClientGetter(), namespace, "secrets", log.Printf)
	return &config, err
}

func settings() *cli.EnvSettings {
	settings := cli.New()
	settings.KubeConfig = os.Getenv("KUBE_CONFIG_PATH")
	return settings
}

// load reads the chart, with its dependencies.
func (m *model) load() (*chart.Chart, error) {
	path := m.Chart.ValueString()
	if m.DependencyUpdate.ValueBool() {
		settings := settings()
		manager := downloader.Manager{
			Out: log.Writer(), ChartPath: path, Getters: getter.All(settings),
			RepositoryConfig: settings.RepositoryConfig, RepositoryCache: settings.RepositoryCache,
		}
		if err := manager.Update(); err != nil {
			return nil, err
		}
	}
	return loader.Load(path)
}

func (m *model) values(ctx context.Context) (map[string]any, error) {
	var texts []string
	m.Values.ElementsAs(ctx, &texts, false)
	merged := map[string]any{}
	for _, text := range texts {
		values, err := chartutil.ReadValues([]byte(text))
		if err != nil {
			return nil, err
		}
		merged = chartutil.CoalesceTables(values, merged)
	}
	return merged, nil
}

func (m *model) postRenderer(ctx context.Context) (postrender.PostRenderer, error) {
	if m.PostRender == nil {
		return nil, nil
	}
	var args []string
	m.PostRender.Args.ElementsAs(ctx, &args, false)
	return postrender.NewExec(m.PostRender.BinaryPath.ValueString(), args...)
}

func (m *model) timeout() time.Duration { return time.Duration(m.Timeout.ValueInt64()) * time.Second }

// apply installs the release, or upgrades it.
func (m *model) apply(ctx context.Context, upgrade bool) (*release.Release, error) {
	config, err := connect(m.Namespace.ValueString())
	if err != nil {
		return nil, err
	}
	chart, err := m.load()
	if err != nil {
		return nil, err
	}
	values, err := m.values(ctx)
	if err != nil {
		return nil, err
	}
	renderer, err := m.postRenderer(ctx)
	if err != nil {
		return nil, err
	}
	if upgrade {
		client := action.NewUpgrade(config)
		client.Namespace, client.Timeout = m.Namespace.ValueString(), m.timeout()
		client.Wait, client.DisableHooks, client.PostRenderer = m.Wait.ValueBool(), m.DisableWebhooks.ValueBool(), renderer
		return client.Run(m.Name.ValueString(), chart, values)
	}
	client := action.NewInstall(config)
	client.ReleaseName, client.Namespace, client.Timeout = m.Name.ValueString(), m.Namespace.ValueString(), m.timeout()
	client.CreateNamespace = m.CreateNamespace.ValueBool()
	client.Wait, client.DisableHooks, client.PostRenderer = m.Wait.ValueBool(), m.DisableWebhooks.ValueBool(), renderer
	return client.Run(chart, values)
}

func (m *model) destroy() error {
	config, err := connect(m.Namespace.ValueString())
	if err != nil {
		return err
	}
	client := action.NewUninstall(config)
	client.Wait, client.DisableHooks, client.Timeout = m.Wait.ValueBool(), m.DisableWebhooks.ValueBool(), m.timeout()
	_, err = client.Run(m.Name.ValueString())
	return err
}
