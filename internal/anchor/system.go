package anchor

import "slices"

// systemLabels are what Kubernetes gives nodes for their operating system, now and
// before 1.14.
var systemLabels = []string{"kubernetes.io/os", "beta.kubernetes.io/os"}

// windowsBuild is what nodes of Windows alone have.
const windowsBuild = "node.kubernetes.io/windows-build"

// systemSpec is where a Pod may ask for an operating system.
type systemSpec struct {
	OS           struct{ Name string } `yaml:"os"`
	NodeSelector map[string]string     `yaml:"nodeSelector"`
	Affinity     struct {
		NodeAffinity struct {
			Required struct {
				Terms []struct {
					Expressions []struct {
						Key, Operator string
						Values        []string
					} `yaml:"matchExpressions"`
				} `yaml:"nodeSelectorTerms"`
			} `yaml:"requiredDuringSchedulingIgnoredDuringExecution"`
		} `yaml:"nodeAffinity"`
	} `yaml:"affinity"`
}

// apart reports whether the Pod asks for nodes on which the hook's image, which is for
// Linux, does not run. Of several terms one is enough for the scheduler.
func (s systemSpec) apart() bool {
	if s.OS.Name != "" && s.OS.Name != "linux" {
		return true
	}
	if _, asks := s.NodeSelector[windowsBuild]; asks {
		return true
	}
	for _, label := range systemLabels {
		if os, asks := s.NodeSelector[label]; asks && os != "linux" {
			return true
		}
	}
	others := 0
	for _, term := range s.Affinity.NodeAffinity.Required.Terms {
		for _, e := range term.Expressions {
			linux := slices.Contains(e.Values, "linux")
			if slices.Contains(systemLabels, e.Key) && (e.Operator == "In" && !linux || e.Operator == "NotIn" && linux) {
				others++
				break
			}
		}
	}
	return others > 0 && others == len(s.Affinity.NodeAffinity.Required.Terms)
}
