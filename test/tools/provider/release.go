package main

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// model is a helm_release.
type model struct {
	Name             types.String `tfsdk:"name"`
	Namespace        types.String `tfsdk:"namespace"`
	CreateNamespace  types.Bool   `tfsdk:"create_namespace"`
	Chart            types.String `tfsdk:"chart"`
	DependencyUpdate types.Bool   `tfsdk:"dependency_update"`
	Values           types.List   `tfsdk:"values"`
	Timeout          types.Int64  `tfsdk:"timeout"`
	Wait             types.Bool   `tfsdk:"wait"`
	DisableWebhooks  types.Bool   `tfsdk:"disable_webhooks"`
	PostRender       *postRender  `tfsdk:"postrender"`
	Status           types.String `tfsdk:"status"`
}

type postRender struct {
	BinaryPath types.String `tfsdk:"binary_path"`
	Args       types.List   `tfsdk:"args"`
}

type helmRelease struct{}

func (helmRelease) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "helm_release"
}

func (helmRelease) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	another := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	flag := func(is bool) schema.BoolAttribute {
		return schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(is)}
	}
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":              schema.StringAttribute{Required: true, PlanModifiers: another},
		"namespace":         schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString("default"), PlanModifiers: another},
		"create_namespace":  flag(false),
		"chart":             schema.StringAttribute{Required: true},
		"dependency_update": flag(false),
		"values":            schema.ListAttribute{Optional: true, ElementType: types.StringType},
		"timeout":           schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(300)},
		"wait":              flag(true),
		"disable_webhooks":  flag(false),
		"postrender": schema.SingleNestedAttribute{Optional: true, Attributes: map[string]schema.Attribute{
			"binary_path": schema.StringAttribute{Required: true},
			"args":        schema.ListAttribute{Optional: true, ElementType: types.StringType},
		}},
		// A release that is not deployed is to be, as in the provider: so that the next plan shows a failed destroy.
		"status": schema.StringAttribute{Computed: true, Default: stringdefault.StaticString(release.StatusDeployed.String())},
	}}
}

func (helmRelease) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	made, err := m.apply(ctx, false)
	if made != nil { // a release that failed is there all the same
		m.Status = types.StringValue(made.Info.Status.String())
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
	if err != nil {
		resp.Diagnostics.AddError("installation failed", err.Error())
	}
}

func (helmRelease) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	m, ok := stored(ctx, req.State, resp)
	if !ok {
		return
	}
	config, err := connect(m.Namespace.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("Error getting helm configuration", err.Error())
		return
	}
	found, err := action.NewGet(config).Run(m.Name.ValueString())
	switch {
	case errors.Is(err, driver.ErrReleaseNotFound):
		resp.State.RemoveResource(ctx)
	case err != nil:
		resp.Diagnostics.AddError("Error getting release", err.Error())
	default:
		m.Status = types.StringValue(found.Info.Status.String())
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func stored(ctx context.Context, state tfsdk.State, resp *resource.ReadResponse) (m model, ok bool) {
	resp.Diagnostics.Append(state.Get(ctx, &m)...)
	return m, !resp.Diagnostics.HasError()
}

func (helmRelease) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if _, err := m.apply(ctx, true); err != nil {
		resp.Diagnostics.AddError("Error upgrading chart", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (helmRelease) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if err := m.destroy(); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		resp.Diagnostics.AddError("Error uninstalling release", err.Error())
	}
}
