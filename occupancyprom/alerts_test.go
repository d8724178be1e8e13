package occupancyprom_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promtool runs the command promtool of Prometheus.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing: .ci/install prometheus")
		}
		t.Skip("promtool is missing: .ci/install prometheus")
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// alerts_test.yml has an input for each alert that causes it, and one that causes none.
func TestAlerts_FireInTheirTests(t *testing.T) { promtool(t, "test", "rules", "alerts_test.yml") }

var alertName = regexp.MustCompile(`- alert: (\w+)`)

func TestAlerts_EachIsTestedAndExplained(t *testing.T) {
	rules, tests, page := read(t, "alerts.yml"), read(t, "alerts_test.yml"), read(t, "../docs/operating.md")
	alerts := alertName.FindAllStringSubmatch(rules, -1)
	if len(alerts) == 0 {
		t.Fatal("no alerts")
	}
	for _, alert := range alerts {
		if !strings.Contains(tests, "alertname: "+alert[1]+"\n") {
			t.Errorf("alerts_test.yml does not test %s", alert[1])
		}
		if !strings.Contains(page, "\n### "+alert[1]+"\n") {
			t.Errorf("docs/operating.md does not explain %s", alert[1])
		}
		if !strings.Contains(rules, "docs/operating.md#"+strings.ToLower(alert[1])+"\n") {
			t.Errorf("%s has no link to docs/operating.md", alert[1])
		}
	}
	names := exportedSamples(t)
	for _, text := range []string{rules, tests} {
		for _, name := range metricName.FindAllString(text, -1) {
			if _, ok := names[name]; !ok && name != "occupancy_service" {
				t.Errorf("%s is not exported", name)
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	must(t, err)
	return string(text)
}

// promtool parses the queries of the dashboard as those of recording rules.
func TestDashboard_QueriesAreValid(t *testing.T) {
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	variables := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*")
	var rules []rule
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			rules = append(rules, rule{fmt.Sprintf("panel_%d_%s", p.ID, target.RefID), variables.Replace(target.Expr)})
		}
	}
	file, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	must(t, err)
	name := filepath.Join(t.TempDir(), "queries.yml")
	must(t, os.WriteFile(name, file, 0o600))
	promtool(t, "check", "rules", name)
}
