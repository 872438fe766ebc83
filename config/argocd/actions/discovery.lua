-- A suspended object makes no pass. One that is being deleted must not be suspended by a click: it would leave the cloud as it is.
local suspended = obj.spec.suspend == true
local deleting = obj.metadata.deletionTimestamp ~= nil
local actions = {
  refresh = {disabled = suspended, displayName = "Refresh", iconClass = "fa fa-fw fa-sync"},
  suspend = {disabled = suspended or deleting, displayName = "Suspend", iconClass = "fa fa-fw fa-pause"},
  resume = {disabled = not suspended, displayName = "Resume", iconClass = "fa fa-fw fa-play"},
}
if obj.kind == "ProjectRole" or obj.kind == "MaxComputePackage" then
  local pending = (obj.status or {}).pendingPlan
  local approved = (obj.metadata.annotations or {})["maxcompute-operator.io/approve-plan"]
  actions["approve-plan"] = {
    disabled = pending == nil or pending.hash == approved, displayName = "Approve plan", iconClass = "fa fa-fw fa-check",
  }
end
return actions
