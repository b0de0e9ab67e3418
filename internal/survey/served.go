package survey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// servedPatience is how long the API server may go on saying that it serves what it
// does not find: of a CRD that has just gone, for a second or so.
const servedPatience = 5 * time.Second

// servedEvery is how often it is asked.
const servedEvery = 500 * time.Millisecond

// distrust looks twice at what was not found. That is the answer for a resource whose
// CRD is gone, but also for one that is not served yet, or in another version only:
// only together with the CRD's absence, or what the API server says that it serves,
// it means absent.
func (r *reading) distrust(group string) {
	var doubtful []string
	for name := range r.absent {
		// A CRD that is not found, of objects that are.
		if crd, is := strings.CutPrefix(name, crdPrefix); is && !r.absent[crd] {
			doubtful = append(doubtful, strings.TrimSuffix(crd, "."+group))
			continue
		}
		read := r.absent[crdPrefix+name] || slices.ContainsFunc(r.s.CRDs, func(crd *object.Object) bool { return crd.Name == name })
		if resource, of := strings.CutSuffix(name, "."+group); of && !strings.HasPrefix(name, crdPrefix) && !read {
			doubtful = append(doubtful, resource)
		}
	}
	still, err := stillServed(r.ctx, r.c, group, doubtful)
	if err != nil {
		still = append(still, plan.Unknown{What: "whether " + group + " is served", Err: err})
	}
	r.s.Unknown = append(r.s.Unknown, still...)
}

// StillServed is what the API server serves of the CRDs that an empty plan takes for gone:
// neither they nor their objects were found, but what is served is not gone. Whether
// discovery itself can be read is for Beside to say.
func StillServed(ctx context.Context, c *kube.Client, o plan.Options, s *plan.Survey) []plan.Unknown {
	if !o.RemovesCRDs() {
		return nil
	}
	group, names := arc.Group, arc.CRDs()
	if o.Scope == plan.ScopeLegacy {
		group, names = arc.LegacyGroup, arc.LegacyCRDs()
	}
	var gone []string
	for _, name := range names {
		if !slices.ContainsFunc(s.CRDs, func(crd *object.Object) bool { return crd.Name == name }) {
			gone = append(gone, strings.TrimSuffix(name, "."+group))
		}
	}
	still, _ := stillServed(ctx, c, group, gone)
	return still
}

// stillServed waits until none of these resources is served, and returns those that are
// then.
func stillServed(ctx context.Context, c *kube.Client, group string, resources []string) (still []plan.Unknown, err error) {
	for end := time.Now().Add(servedPatience); len(resources) > 0; {
		served, err := c.Served(ctx, group)
		if err != nil {
			return still, err
		}
		resources = slices.DeleteFunc(resources, func(resource string) bool { return len(served[resource]) == 0 })
		still = nil
		for _, resource := range resources {
			still = append(still, plan.Unknown{What: resource + "." + group, Err: fmt.Errorf("not found, though the API server says that it serves it in the versions %s", strings.Join(served[resource], ", "))})
		}
		if len(resources) == 0 || time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return still, context.Cause(ctx)
		case <-time.After(servedEvery):
		}
	}
	return still, nil
}
