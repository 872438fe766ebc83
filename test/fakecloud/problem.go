package fakecloud

import (
	"fmt"
	"net/http"
)

// Codes that public sources show for this service (Alibaba Cloud documentation: MaxCompute error
// codes, common errors of Alibaba Cloud OpenAPI; terraform-provider-alicloud).
const (
	codeObjectNotExist   = "OBJECT_NOT_EXIST"
	codeProjectNotFound  = "PROJECT_NOT_FOUND"
	codeODPSNoProject    = "ODPS-0420111"
	codeAccessDenied     = "ODPS-0420095"
	codeNoSuchObject     = "NoSuchObject"
	codeInvalidArgument  = "InvalidArgument"
	codeInvalidParameter = "InvalidParameter"
	codeParse            = "ODPS-0130161"
	codeTableNotFound    = "ODPS-0130131"
	codeBadXML           = "ODPS-0420031"
	codeAuthMissing      = "ODPS-0410001"
	codeAuthInvalid      = "ODPS-0410011"
	codeAuthExpired      = "ODPS-0410031"
	codeAuthSignature    = "ODPS-0410042"
	codeAuthCredentials  = "ODPS-0410051"
	codeThrottlingUser   = "Throttling.User"
	codeSignature        = "SignatureDoesNotMatch"
	codeIncomplete       = "IncompleteSignature"
	codeKeyNotFound      = "InvalidAccessKeyId.NotFound"
	codeExpired          = "InvalidTimeStamp.Expired"
	codeTimeFormat       = "InvalidTimeStamp.Format"
	codeNonceUsed        = "SignatureNonceUsed"
	codeTokenMismatch    = "InvalidSecurityToken.MismatchWithAccessKey"
	codeTokenExpired     = "InvalidSecurityToken.Expired"
	codeForbiddenRAM     = "Forbidden.RAM"
	codeAlreadyExistsODP = "ObjectAlreadyExists"
)

// Codes that are made up: no public source tells what the service answers here.
const (
	codeExists         = "OBJECT_ALREADY_EXISTS"
	codeExistsUnknown  = "ODPS-0420999"
	codeRoleInUse      = "OBJECT_IN_USE"
	codeInvalidBody    = "INVALID_PARAMETER"
	codeDeadMember     = "ODPS-0420061" // a documented code, but not documented for this case
	codeNotImplemented = "NotImplementedByFake"
	codeODPSThrottled  = "Throttling"
	codeInternal       = "InternalError"
)

// problem is a refusal: what the client gets instead of an answer.
type problem struct {
	status     int
	code       string
	message    string
	retryAfter string
	// violation marks a request that no correct client sends.
	violation bool
}

// Error implements error.
func (p *problem) Error() string { return p.code + ": " + p.message }

func refuse(status int, code, format string, args ...any) *problem {
	return &problem{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// unknown is the refusal of something that the fake doesn't know.
func unknown(format string, args ...any) *problem {
	p := refuse(http.StatusNotImplemented, codeNotImplemented, format, args...)
	p.violation = true
	return p
}

func invalid(format string, args ...any) *problem {
	return refuse(http.StatusBadRequest, codeInvalidArgument, format, args...)
}

// noProject, noRole and noObject differ by protocol: the OpenAPI and the ODPS service have their
// own codes for the same thing.
func noProject(c *call) *problem {
	code := codeProjectNotFound
	if c.service == "odps" {
		code = codeODPSNoProject
	}
	return refuse(http.StatusNotFound, code, "project not found - '%s'", c.project)
}

func noRole(c *call, name string) *problem { return notThere(c, "role", name) }

// noPackage is made up for both services.
func noPackage(c *call, name string) *problem { return notThere(c, "package", name) }

func notThere(c *call, what, name string) *problem {
	code := codeObjectNotExist
	if c.service == "odps" {
		code = codeNoSuchObject
	}
	return refuse(http.StatusNotFound, code, "the %s '%s' does not exist", what, name)
}

// noObject is made up for both services. The OpenAPI's code is the one of a missing role too: that
// is the harder case for a client, which must not take it for an absent role.
func noObject(c *call, g Grant) *problem {
	code := codeObjectNotExist
	if c.service == "odps" {
		code = codeTableNotFound
	}
	return refuse(http.StatusNotFound, code, "%s not found - '%s.%s.%s'", g.Kind, c.project, g.SchemaName, g.Name)
}

// alreadyExists is made up, in two spellings.
func alreadyExists(c *call, spelling ExistsSpelling, what, name string) *problem {
	if spelling == ExistsUnknownCode {
		return refuse(http.StatusBadRequest, codeExistsUnknown, "%s '%s' already exists", what, name)
	}
	code := codeExists
	if c.service == "odps" {
		code = codeAlreadyExistsODP
	}
	return refuse(http.StatusConflict, code, "the %s '%s' exists", what, name)
}

// roleInUse follows "Alibaba Cloud documentation: DROP ROLE", which forbids to drop a role that
// users still hold; status and code are made up.
func roleInUse(c *call, name string) *problem {
	if c.service == "odps" {
		return invalid("the role '%s' is still granted to users", name)
	}
	return refuse(http.StatusConflict, codeRoleInUse, "the role '%s' is still granted to users", name)
}
