if obj.status == nil or obj.status.pendingPlan == nil then
  error("no plan waits for approval")
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["maxcompute-operator.io/approve-plan"] = obj.status.pendingPlan.hash
return obj
