package survey

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// What a plan and a report say of a scale set contains no password, however its URLs are written.
func TestURLsWithoutSecrets(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://github.com/acme/rocket":             "https://github.com/acme/rocket",
		"http://proxy:3128":                          "http://proxy:3128",
		"https://x:" + marked + "@github.com/acme":   "https://github.com/acme",
		"https://" + marked + "@github.com/acme":     "https://github.com/acme",
		"x:" + marked + "@proxy:3128":                "",
		marked + "@github.com/acme":                  "",
		"https:/x:" + marked + "@github.com/acme":    "",
		"//x:" + marked + "@proxy:3128":              "//proxy:3128",
		"https://github.com/acme?token=" + marked:    "https://github.com/acme",
		"https://github.com/acme#" + marked:          "https://github.com/acme",
		"https://x:" + marked + "@github.com:y/acme": "",
	} {
		u := unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"githubConfigUrl": url, "proxy": map[string]any{"https": map[string]any{"url": url}},
		}}}
		info := scaleSetInfo(u)
		if want := (plan.ScaleSetInfo{URL: want, Proxy: want}); info != want || strings.Contains(fmt.Sprint(info), marked) {
			t.Errorf("%s: %+v", url, info)
		}
	}
}
