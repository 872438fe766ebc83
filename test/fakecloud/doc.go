// Package fakecloud is a stateful HTTP fake of Alibaba Cloud MaxCompute, of the permission requests of
// DataWorks, and of the export of Huawei Cloud DataArts Insight, for tests and demos.
//
// One port serves what a client of the real service talks to:
//
//   - the MaxCompute OpenAPI 2022-01-04 below /api/v1/, signed with ACS3-HMAC-SHA256;
//   - the token service, STS 2015-04-01, at /: AssumeRole, signed alike, and AssumeRoleWithOIDC, which
//     is anonymous;
//   - the permission requests of DataWorks, 2020-05-18 and 2024-05-18, at / as well;
//   - the security statements of the ODPS REST service below /api/projects/, signed with the V2 or
//     V4 signature of that service;
//   - the export of resource packages of DataArts Insight below /v1/, with a token or signed with
//     SDK-HMAC-SHA256, and the tokens of its IAM at /v3/auth/tokens;
//   - an administrative API below /_admin/ (see admin.go and README.md), which the real service
//     does not have.
//
// The fake is strict. Every signature is verified. A path, method, action, header or parameter that
// it does not know is answered with 501 and kept in the list that [Server.Violations] returns; tests
// assert that this list is empty. Names are folded and actions are echoed in lower case, as the
// documented samples of the service show them.
//
// Every API call is kept in a journal, with what it changed, so that a test can replay the history
// of the world write by write. Faults (throttling, lost replies, stale reads, HTML error pages and
// so on) can be injected per call.
//
// The fake shares no code with the client it tests, so that the two can't agree on a mistake.
//
// Where the public documentation is silent, the fake has to choose. Such choices are labelled
// "made up" in the comments, and a client must not depend on them.
package fakecloud
