// Package charts embeds the chart arc-cleanup: the only description of the hook.
package charts

import "embed"

// ArcCleanup holds what rendering the chart needs, under the folder arc-cleanup.
// Its tests stay out of the binaries.
//
//go:embed arc-cleanup/Chart.yaml arc-cleanup/values.yaml arc-cleanup/values.schema.json all:arc-cleanup/templates
var ArcCleanup embed.FS
