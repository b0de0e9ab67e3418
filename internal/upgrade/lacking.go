package upgrade

import (
	"context"
	"fmt"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// lackingCRDs returns the CRDs that are not those of the installed chart, or says why that is not known. It
// looks before an upgrade changes the CRDs.
func lackingCRDs(ctx context.Context, c *kube.Client, s Situation) (lacking []arc.LackingCRD, unknown string, err error) {
	if s.Saved != nil && s.Saved.Way != ByHelm {
		return nil, "", nil
	}
	for _, f := range s.Found {
		if !f.Controller || f.record == nil || f.Status != helm.Deployed {
			continue
		}
		crds, err := detect.CRDs(f.record)
		switch {
		case err != nil:
			return nil, err.Error(), nil //nolint:nilerr // the plan says so
		case len(crds) == 0:
			return nil, fmt.Sprintf("the chart of release %s has none in crds/", f), nil
		}
		in, err := survey.LackingCRDs(ctx, c, crds)
		if err != nil {
			return nil, "", err
		}
		lacking = append(lacking, in...)
	}
	return lacking, "", nil
}

// mayRenewCRDs reports whether there are CRDs to change although the releases may have the target's version.
// No other way than helm-upgrade is taken for that: it would remove all scale sets.
func (p *planner) mayRenewCRDs() bool {
	return len(p.s.lacking) > 0 && p.s.Strategy != Reinstall && len(p.State.Releases) > 0 &&
		gentlest(p.installed(), p.s.Target.Controller.Metadata.AppVersion, false).way == ByHelm
}

// noteCRDs says which CRDs are not those of the installed chart.
func (p *planner) noteCRDs() {
	if len(p.s.lacking) > 0 {
		p.note("the CRDs are not those of the installed chart: %s", p.lacking())
	}
	if p.s.unknownCRDs != "" {
		p.note("whether the CRDs are those of the installed chart is not known: %s", printable(p.s.unknownCRDs))
	}
}

// refuseLackingCRDs refuses a swap from CRDs that are not those of the installed chart: none was tried.
func (p *planner) refuseLackingCRDs(controller Release) {
	if len(p.s.lacking) == 0 {
		p.noteCRDs()
		return
	}
	do := []string{
		"give --strategy reinstall; or first change the CRDs to those of the installed version, from its charts:",
		shell.Command("arc-cleanup", "upgrade", "--version", controller.Chart.Version),
	}
	p.refuse(fmt.Sprintf("the CRDs are not those of the installed chart, %s: %s", version(controller.Chart), p.lacking()), do...)
}

// lacking names the CRDs that are not those of the installed chart.
func (p *planner) lacking() string {
	var texts []string
	for _, crd := range p.s.lacking {
		texts = append(texts, printable(crd.String()))
	}
	return strings.Join(texts, "; ")
}
