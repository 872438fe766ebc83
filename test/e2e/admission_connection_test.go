package e2e

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// connectionKinds are the kinds that describe a connection, with what each must say about where a Secret and a service account are.
var connectionKinds = map[string]struct{ secret, account string }{
	"Connection":        {"{name: s}", "serviceAccountName: a"},
	"ClusterConnection": {"{name: s, namespace: other}", "serviceAccountName: a, serviceAccountNamespace: other"},
}

// TestConnectionAdmission shows what both kinds of connections refuse.
func TestConnectionAdmission(t *testing.T) {
	s := newSpace(t)
	const (
		head   = "  alibabaCloud:\n    region: cn-hangzhou\n"
		secret = "    credentials: {secretRef: SECRET}\n"
		role   = "roleArn: 'acs:ram::123:role/data'"
		oidc   = "oidcProviderArn: 'acs:ram::123:oidc-provider/ack'"
	)
	workload := func(fields ...string) string {
		return head + "    credentials: {workloadIdentity: {" + strings.Join(fields, ", ") + "}}\n"
	}
	assume := func(fields ...string) string {
		return head + secret + "    assumeRole: {" + strings.Join(fields, ", ") + "}\n"
	}
	endpoint := func(name, url string) string {
		return head + secret + "    endpoints: {" + name + ": '" + url + "'}\n"
	}
	tests := map[string]admission{
		"a region and a secret":          {head + secret, ""},
		"endpoints in place of a region": {"  alibabaCloud:\n    endpoints: {maxCompute: https://a.aliyuncs.com, odps: https://b.aliyun.com/api}\n" + secret, ""},
		"neither":                        {"  alibabaCloud:\n" + secret, "region is required unless"},
		"one endpoint is not enough":     {"  alibabaCloud:\n    endpoints: {maxCompute: https://a.aliyuncs.com}\n" + secret, "region is required unless"},
		"the token service is no other":  {"  alibabaCloud:\n    endpoints: {maxCompute: https://a.aliyuncs.com, sts: https://sts.aliyuncs.com}\n" + secret, "region is required unless"},
		"no account at all":              {"  suspend: false\n", "exactly one of alibabaCloud and huaweiCloud is required"},
		"an interval below a minute":     {head + secret + "  interval: 59s\n", "interval must be at least 1m"},
		"an interval that is none":       {head + secret + "  interval: '60'\n", "should match"},
		"a field that does not exist":    {head + secret + "  secretRef: {name: s}\n", "unknown field \"spec.secretRef\""},

		"no credentials":                         {head, "spec.alibabaCloud.credentials: Required value"},
		"neither a secret nor a service account": {head + "    credentials: {}\n", "exactly one of secretRef and workloadIdentity is required"},
		"both a secret and a service account":    {head + "    credentials: {secretRef: SECRET, workloadIdentity: {ACCOUNT, " + role + ", " + oidc + "}}\n", "exactly one of secretRef and workloadIdentity is required"},
		"credentials in the manifest":            {head + "    credentials: {accessKeyId: a, accessKeySecret: b}\n", "unknown field \"spec.alibabaCloud.credentials.accessKeyId\""},
		"a secret without a name":                {head + "    credentials: {secretRef: {namespace: other}}\n", "secretRef.name: Required value"},
		"a secret with an empty name":            {head + "    credentials: {secretRef: {name: '', namespace: other}}\n", "should be at least 1 chars long"},

		"a workload identity":                        {workload("ACCOUNT", role, oidc), ""},
		"a workload identity and a role to assume":   {workload("ACCOUNT", role, oidc) + "    assumeRole: {" + role + "}\n", ""},
		"a workload identity without a role":         {workload("ACCOUNT", oidc), "roleArn: Required value"},
		"a workload identity without a provider":     {workload("ACCOUNT", role), "oidcProviderArn: Required value"},
		"a workload identity without an account":     {workload(role, oidc), "serviceAccountName: Required value"},
		"a service account with an empty name":       {workload(role, oidc, "serviceAccountName: ''"), "should be at least 1 chars long"},
		"the ARN of a user for the role's":           {workload("ACCOUNT", oidc, "roleArn: 'acs:ram::123:user/data'"), "should match"},
		"the ARN of another cloud":                   {workload("ACCOUNT", oidc, "roleArn: 'arn:aws:iam::123:role/data'"), "should match"},
		"an ARN without an account":                  {workload("ACCOUNT", oidc, "roleArn: 'acs:ram:::role/data'"), "should match"},
		"an ARN with a path":                         {workload("ACCOUNT", oidc, "roleArn: 'acs:ram::123:role/data/x'"), "should match"},
		"an ARN with a space":                        {workload("ACCOUNT", oidc, "roleArn: 'acs:ram::123:role/data x'"), "should match"},
		"an ARN with a line break":                   {workload("ACCOUNT", oidc, `roleArn: "acs:ram::123:role/data\n"`), "should match"},
		"the role's ARN for the provider's":          {workload("ACCOUNT", role, "oidcProviderArn: 'acs:ram::123:role/data'"), "should match"},
		"a provider without a name":                  {workload("ACCOUNT", role, "oidcProviderArn: 'acs:ram::123:oidc-provider/'"), "should match"},
		"an audience":                                {workload("ACCOUNT", role, oidc, "audience: 'https://sts.example.com:443/x'"), ""},
		"the audience of the API server":             {workload("ACCOUNT", role, oidc, "audience: 'https://kubernetes.default.svc'"), "audience must not be one of the Kubernetes API server"},
		"the audience of the API server, cluster's":  {workload("ACCOUNT", role, oidc, "audience: 'https://kubernetes.default.svc.cluster.local'"), "audience must not be one of the Kubernetes API server"},
		"the audience of the API server, short":      {workload("ACCOUNT", role, oidc, "audience: kubernetes"), "audience must not be one of the Kubernetes API server"},
		"the audience of the API server, upper case": {workload("ACCOUNT", role, oidc, "audience: 'https://KUBERNETES.default.svc'"), "audience must not be one of the Kubernetes API server"},
		"an empty audience":                          {workload("ACCOUNT", role, oidc, "audience: ''"), "should be at least 1 chars long"},
		"two audiences in one":                       {workload("ACCOUNT", role, oidc, "audience: 'a b'"), "should match"},

		"a role to assume":                    {assume(role, "sessionName: k8s", "externalId: 'team=a,b'"), ""},
		"a role to assume without an ARN":     {assume("sessionName: k8s"), "assumeRole.roleArn: Required value"},
		"a role to assume that is a user":     {assume("roleArn: 'acs:ram::123:user/data'"), "should match"},
		"a session's name that is too short":  {assume(role, "sessionName: x"), "should be at least 2 chars long"},
		"a session's name with a space":       {assume(role, "sessionName: 'a b'"), "should match"},
		"a session's name that is too long":   {assume(role, "sessionName: "+strings.Repeat("x", 65)), "may not be more than 64"},
		"an external id that is too short":    {assume(role, "externalId: x"), "should be at least 2 chars long"},
		"an external id with a space":         {assume(role, "externalId: 'a b'"), "should match"},
		"an external id with another request": {assume(role, "externalId: 'a&Action=x'"), "should match"},

		"an endpoint that is no URL":                  {endpoint("maxCompute", "maxcompute"), "should match"},
		"an endpoint with credentials":                {endpoint("maxCompute", "https://a:b@c.aliyuncs.com"), "should match"},
		"an endpoint with a query":                    {endpoint("odps", "https://a.aliyuncs.com/api?x=y"), "should match"},
		"an endpoint of the token service":            {endpoint("sts", "https://sts-vpc.cn-hangzhou.aliyuncs.com"), ""},
		"a token service that is no URL":              {endpoint("sts", "sts.aliyuncs.com"), "should match"},
		"a token service with credentials":            {endpoint("sts", "https://a:b@c.aliyuncs.com"), "should match"},
		"a token service with another scheme":         {endpoint("sts", "file:///etc/passwd"), "should match"},
		"an endpoint of a service that there is not":  {endpoint("ram", "https://ram.aliyuncs.com"), "unknown field \"spec.alibabaCloud.endpoints.ram\""},
		"a region that would make a host":             {"  alibabaCloud:\n    region: 'x.evil.example/'\n" + secret, "should match"},
		"an endpoint of DataWorks":                    {endpoint("dataWorks", "https://dataworks-vpc.cn-hangzhou.aliyuncs.com"), ""},
		"DataWorks at no URL":                         {endpoint("dataWorks", "dataworks.aliyuncs.com"), "should match"},
		"the newer version of DataWorks":              {head + secret + "    dataWorksAPIVersion: '2024-05-18'\n", ""},
		"a version of DataWorks that there is not":    {head + secret + "    dataWorksAPIVersion: '2021-01-01'\n", "Unsupported value"},
		"a limit of DataWorks":                        {head + "    rateLimits: {dataWorks: {qps: 5, burst: 1, callsPerDay: 100}}\n" + secret, ""},
		"an empty limit of DataWorks":                 {head + "    rateLimits: {dataWorks: {}}\n" + secret, ""},
		"a limit of DataWorks of nothing":             {head + "    rateLimits: {dataWorks: {qps: 0}}\n" + secret, "should be greater than or equal to 1"},
		"fewer than no calls a day":                   {head + "    rateLimits: {dataWorks: {callsPerDay: -1}}\n" + secret, "should be greater than or equal to 0"},
		"more than 10,000,000 calls a day":            {head + "    rateLimits: {dataWorks: {callsPerDay: 10000001}}\n" + secret, "should be less than or equal to 10000000"},
		"a rate limit of nothing":                     {head + "    rateLimits: {maxCompute: {qps: 0}}\n" + secret, "should be greater than or equal to 1"},
		"a rate limit of more than 10,000":            {head + "    rateLimits: {maxCompute: {qps: 10001}}\n" + secret, "should be less than or equal to 10000"},
		"a burst of nothing":                          {head + "    rateLimits: {maxCompute: {qps: 1, burst: 0}}\n" + secret, "should be greater than or equal to 1"},
		"a rate limit of a service that there is not": {head + "    rateLimits: {ram: {qps: 1}}\n" + secret, "unknown field \"spec.alibabaCloud.rateLimits.ram\""},
	}
	for kind, parts := range connectionKinds {
		for name, tc := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) {
				spec := strings.NewReplacer("SECRET", parts.secret, "ACCOUNT", parts.account).Replace(tc.spec)
				tc.check(t, connectionManifest(s, kind, spec))
			})
		}
	}
}

// TestHuaweiConnectionAdmission shows what both kinds of connections refuse of the other vendor's accounts.
func TestHuaweiConnectionAdmission(t *testing.T) {
	s := newSpace(t)
	const (
		project = "    projectID: 0a1b2c3d4e5f\n"
		head    = "  huaweiCloud:\n    region: cn-southwest-2\n" + project
		secret  = "    credentials: {secretRef: SECRET}\n"
		alibaba = "  alibabaCloud:\n    region: cn-hangzhou\n    credentials: {secretRef: SECRET}\n"
		one     = "exactly one of alibabaCloud and huaweiCloud is required"
		where   = "region is required unless endpoints.dataArtsInsight is given"
	)
	of := func(project string) string {
		return "  huaweiCloud:\n    region: cn-southwest-2\n    projectID: " + project + "\n" + secret
	}
	in := func(region string) string {
		return "  huaweiCloud:\n    region: " + region + "\n" + project + secret
	}
	endpoint := func(name, url string) string {
		return head + secret + "    endpoints: {" + name + ": '" + url + "'}\n"
	}
	only := func(endpoints string) string {
		return "  huaweiCloud:\n    endpoints: {" + endpoints + "}\n" + project + secret
	}
	tests := map[string]admission{
		"a region and a secret":         {head + secret, ""},
		"an interval":                   {head + secret + "  interval: 1m\n", ""},
		"both clouds":                   {head + secret + alibaba, one},
		"neither":                       {"  suspend: false\n", one},
		"a cloud that there is not":     {"  tencentCloud: {}\n", "unknown field \"spec.tencentCloud\""},
		"an empty cloud":                {"  huaweiCloud: {}\n", "spec.huaweiCloud.projectID: Required value"},
		"a field of the other cloud":    {head + secret + "    assumeRole: {roleArn: 'acs:ram::1:role/a'}\n", "unknown field \"spec.huaweiCloud.assumeRole\""},
		"an endpoint in its place":      {only("dataArtsInsight: https://insight.example.com"), ""},
		"both endpoints in its place":   {only("dataArtsInsight: https://insight.example.com, iam: https://iam.example.com"), ""},
		"no region and no endpoints":    {"  huaweiCloud:\n" + project + secret, where},
		"no region and empty endpoints": {only(""), where},
		"no region and IAM alone":       {only("iam: https://iam.example.com"), where},

		"a region that is empty":             {in("''"), "spec.huaweiCloud.region in body should be at least 1 chars long"},
		"a region that would make a host":    {in("x.evil.example/"), "spec.huaweiCloud.region in body should match '^[a-z0-9-]+$'"},
		"a region with a name before it":     {in("'a@evil.example#'"), "spec.huaweiCloud.region in body should match"},
		"a region in upper case":             {in("CN-SOUTHWEST-2"), "spec.huaweiCloud.region in body should match"},
		"a region of 65 characters":          {in(strings.Repeat("r", 65)), "may not be more than 64"},
		"no project":                         {"  huaweiCloud:\n    region: cn-southwest-2\n" + secret, "spec.huaweiCloud.projectID: Required value"},
		"an empty project":                   {of("''"), "spec.huaweiCloud.projectID in body should be at least 1 chars long"},
		"a project of a path":                {of("../v1"), "spec.huaweiCloud.projectID in body should match '^[A-Za-z0-9-]+$'"},
		"a project of two parts":             {of("a/b"), "spec.huaweiCloud.projectID in body should match"},
		"a project with a query":             {of("'a?b'"), "spec.huaweiCloud.projectID in body should match"},
		"a project with a line break":        {of(`"a\n"`), "spec.huaweiCloud.projectID in body should match"},
		"a project that is a number":         {of("123"), "spec.huaweiCloud.projectID in body must be of type string"},
		"a project of 64 characters":         {of(strings.Repeat("p", 64)), ""},
		"a project of 65 characters":         {of(strings.Repeat("p", 65)), "may not be more than 64"},
		"no credentials":                     {head, "spec.huaweiCloud.credentials: Required value"},
		"empty credentials":                  {head + "    credentials: {}\n", "spec.huaweiCloud.credentials.secretRef: Required value"},
		"a key in the manifest":              {head + "    credentials: {accessKey: a, secretKey: b}\n", "unknown field \"spec.huaweiCloud.credentials.accessKey\""},
		"a password in the manifest":         {head + "    credentials: {secretRef: SECRET, password: b}\n", "unknown field \"spec.huaweiCloud.credentials.password\""},
		"a token in the manifest":            {head + "    credentials: {secretRef: SECRET, token: b}\n", "unknown field \"spec.huaweiCloud.credentials.token\""},
		"a workload identity":                {head + "    credentials: {secretRef: SECRET, workloadIdentity: {}}\n", "unknown field \"spec.huaweiCloud.credentials.workloadIdentity\""},
		"a secret without a name":            {head + "    credentials: {secretRef: {namespace: other}}\n", "secretRef.name: Required value"},
		"a secret with an empty name":        {head + "    credentials: {secretRef: {name: '', namespace: other}}\n", "should be at least 1 chars long"},
		"endpoints beside a region":          {endpoint("dataArtsInsight", "https://insight.example.com:8443/base"), ""},
		"an address for an endpoint":         {endpoint("iam", "https://[2001:db8::1]"), ""},
		"an endpoint that is no URL":         {endpoint("dataArtsInsight", "dataartsinsight"), "spec.huaweiCloud.endpoints.dataArtsInsight in body should match"},
		"an endpoint with a name":            {endpoint("dataArtsInsight", "https://a:b@c.example.com"), "spec.huaweiCloud.endpoints.dataArtsInsight in body should match"},
		"an endpoint with a query":           {endpoint("dataArtsInsight", "https://a.example.com?x=y"), "spec.huaweiCloud.endpoints.dataArtsInsight in body should match"},
		"an endpoint of another scheme":      {endpoint("iam", "file:///etc/passwd"), "spec.huaweiCloud.endpoints.iam in body should match"},
		"IAM with a fragment":                {endpoint("iam", "https://iam.example.com#x"), "spec.huaweiCloud.endpoints.iam in body should match"},
		"an endpoint that is too long":       {endpoint("iam", "https://"+strings.Repeat("a", 505)), "may not be more than 512"},
		"an endpoint of the other cloud":     {endpoint("maxCompute", "https://a.aliyuncs.com"), "unknown field \"spec.huaweiCloud.endpoints.maxCompute\""},
		"a limit, of which there is none":    {head + secret + "    rateLimits: {}\n", "unknown field \"spec.huaweiCloud.rateLimits\""},
		"an interval that is below a minute": {head + secret + "  interval: 59s\n", "interval must be at least 1m"},
	}
	for kind, parts := range connectionKinds {
		for name, tc := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) {
				tc.check(t, connectionManifest(s, kind, strings.ReplaceAll(tc.spec, "SECRET", parts.secret)))
			})
		}
	}
}

func connectionManifest(s space, kind, spec string) string {
	place := ""
	if kind == "Connection" {
		place = ", namespace: " + s.namespace
	}
	return fmt.Sprintf("apiVersion: maxcompute-operator.io/v1alpha1\nkind: %s\nmetadata: {name: candidate%s}\nspec:\n%s", kind, place, spec)
}

// TestAdmissionOfTenancy shows that a Connection can name nothing outside its namespace, and that a ClusterConnection has to say which it
// means and whom it allows.
func TestAdmissionOfTenancy(t *testing.T) {
	s := newSpace(t)
	const (
		head   = "  alibabaCloud:\n    region: cn-hangzhou\n"
		secret = head + "    credentials: {secretRef: {name: s, namespace: other}}\n"
		huawei = "  huaweiCloud:\n    region: cn-southwest-2\n    projectID: 0a1b2c3d\n    credentials: "
		where  = "roleArn: 'acs:ram::123:role/data', oidcProviderArn: 'acs:ram::123:oidc-provider/ack', serviceAccountName: a"
	)
	tests := map[string]map[string]admission{
		"Connection": {
			"a secret of another namespace":              {secret, "a Connection uses Secrets of its own namespace only"},
			"a secret of its own namespace, spelled out": {head + "    credentials: {secretRef: {name: s, namespace: " + s.namespace + "}}\n", "a Connection uses Secrets of its own namespace only"},
			"a secret of a namespace without a name":     {head + "    credentials: {secretRef: {name: s, namespace: ''}}\n", "a Connection uses Secrets of its own namespace only"},
			"a service account of another namespace":     {head + "    credentials: {workloadIdentity: {serviceAccountNamespace: other, " + where + "}}\n", "a Connection uses service accounts of its own namespace only"},
			"a service account of its own, spelled out":  {head + "    credentials: {workloadIdentity: {serviceAccountNamespace: " + s.namespace + ", " + where + "}}\n", "a Connection uses service accounts of its own namespace only"},
			"a secret of another namespace, Huawei":      {huawei + "{secretRef: {name: s, namespace: other}}\n", "a Connection uses Secrets of its own namespace only"},
			"a secret of its own, Huawei, spelled out":   {huawei + "{secretRef: {name: s, namespace: " + s.namespace + "}}\n", "a Connection uses Secrets of its own namespace only"},
			"a secret of no namespace, Huawei":           {huawei + "{secretRef: {name: s}}\n", ""},
			"namespaces that it allows":                  {head + "    credentials: {secretRef: {name: s}}\n  allowedNamespaces: {names: [a]}\n", "unknown field \"spec.allowedNamespaces\""},
			"projects that it allows":                    {head + "    credentials: {secretRef: {name: s}}\n  allowedProjects: [a]\n", "unknown field \"spec.allowedProjects\""},
		},
		"ClusterConnection": {
			"a secret without a namespace":          {head + "    credentials: {secretRef: {name: s}}\n", "secretRef.namespace is required in a ClusterConnection"},
			"a secret with an empty namespace":      {head + "    credentials: {secretRef: {name: s, namespace: ''}}\n", "should be at least 1 chars long"},
			"a secret with a namespace too long":    {head + "    credentials: {secretRef: {name: s, namespace: " + strings.Repeat("n", 64) + "}}\n", "may not be more than 63"},
			"a service account without a namespace": {head + "    credentials: {workloadIdentity: {" + where + "}}\n", "workloadIdentity.serviceAccountNamespace is required in a ClusterConnection"},
			"a service account, an empty namespace": {head + "    credentials: {workloadIdentity: {serviceAccountNamespace: '', " + where + "}}\n", "should be at least 1 chars long"},
			"a secret without a namespace, Huawei":  {huawei + "{secretRef: {name: s}}\n", "secretRef.namespace is required in a ClusterConnection"},
			"a secret, an empty namespace, Huawei":  {huawei + "{secretRef: {name: s, namespace: ''}}\n", "should be at least 1 chars long"},
			"a secret with a namespace, Huawei":     {huawei + "{secretRef: {name: s, namespace: other}}\n", ""},
			"patterns of workspaces":                {huawei + "{secretRef: {name: s, namespace: other}}\n  allowedProjects: [4f1c2d3e-0000-1111, '4f1c-*', '*-prod']\n", ""},
			"a pattern that is a hyphen":            {secret + "  allowedProjects: ['-', '*-*']\n", ""},
			"a pattern with a slash":                {secret + "  allowedProjects: ['4f1c/d']\n", "should match '^[A-Za-z0-9_*-]+$'"},
			"a pattern with a long hyphen":          {secret + "  allowedProjects: ['4f1c–2d3e']\n", "should match"},
			"nobody":                                {secret, ""},
			"nobody, spelled out":                   {secret + "  allowedNamespaces: {}\n", ""},
			"namespaces by name":                    {secret + "  allowedNamespaces: {names: [a, b]}\n", ""},
			"namespaces by label":                   {secret + "  allowedNamespaces: {selector: {matchLabels: {team: data}, matchExpressions: [{key: env, operator: In, values: [prod]}]}}\n", ""},
			"a namespace twice":                     {secret + "  allowedNamespaces: {names: [a, a]}\n", "Duplicate value"},
			"a namespace without a name":            {secret + "  allowedNamespaces: {names: ['']}\n", "should be at least 1 chars long"},
			"a namespace with a name that none has": {secret + "  allowedNamespaces: {names: [" + strings.Repeat("n", 64) + "]}\n", "may not be more than 63"},
			"a selector without an operator":        {secret + "  allowedNamespaces: {selector: {matchExpressions: [{key: env}]}}\n", "operator: Required value"},
			"patterns of projects":                  {secret + "  allowedProjects: ['analytics_*', '*_prod', 'a*b*c', '*', Plain]\n", ""},
			"no project":                            {secret + "  allowedProjects: []\n", ""},
			"a project twice":                       {secret + "  allowedProjects: [a, a]\n", "Duplicate value"},
			"a project without a name":              {secret + "  allowedProjects: ['']\n", "should be at least 1 chars long"},
			"a pattern with a question mark":        {secret + "  allowedProjects: ['a?']\n", "should match"},
			"a pattern of another language":         {secret + "  allowedProjects: ['a.*']\n", "should match"},
			"a list of patterns in one":             {secret + "  allowedProjects: ['a,b']\n", "should match"},
			"a pattern with a space":                {secret + "  allowedProjects: ['a b']\n", "should match"},
			"a pattern that is too long":            {secret + "  allowedProjects: [" + strings.Repeat("a", 129) + "]\n", "may not be more than 128"},
			"more than 256 patterns":                {secret + "  allowedProjects:\n" + patterns(257), "must have at most 256 items"},
		},
	}
	for kind, rows := range tests {
		for name, tc := range rows {
			t.Run(kind+"/"+name, func(t *testing.T) {
				tc.check(t, connectionManifest(s, kind, tc.spec))
			})
		}
	}
}

func patterns(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  - project_%d\n", i)
	}
	return b.String()
}

// TestClusterConnectionsAreListed shows the columns, the short name and the category.
func TestClusterConnectionsAreListed(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	connection := s.clusterConnection()
	connection.Spec.Suspend = true
	create(t, connection)
	g.Eventually(seen(connection), timeout, poll).Should(HavePrefix("Unknown/Suspended"))
	out, err := kubectl(t, "", "get", "mcclusterconn", connection.Name)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(MatchRegexp(`^NAME +REGION +READY +STATUS +AGE\n%s +cn-hangzhou +Unknown +Suspended +\d+s\n$`, connection.Name))
	out, err = kubectl(t, "", "get", "mcclusterconn", connection.Name, "-o", "wide")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(MatchRegexp(`^NAME +REGION +READY +STATUS +AGE +MESSAGE +SUSPENDED\n.* suspended before the first pass.* true\n$`))
	out, err = kubectl(t, "", "get", "maxcompute", "-A")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(ContainSubstring("clusterconnection.maxcompute-operator.io/" + connection.Name))
}
