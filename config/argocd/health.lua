-- Health of every kind of maxcompute-operator.io, by its conditions, which follow kstatus.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready

local hs = {status = "Progressing", message = "not looked at yet"}
if ready ~= nil then
  hs.message = ready.message
end
if obj.metadata.deletionTimestamp ~= nil then
  return hs
end
if obj.spec.suspend then
  hs.status = "Suspended"
  return hs
end
if ready == nil then
  return hs
end

local generation = obj.metadata.generation
if ready.observedGeneration ~= generation then
  hs.message = "the last change has not been looked at yet"
elseif ready.reason == "AwaitingApproval" then
  -- A person decides, and not Kubernetes: nothing is wrong, and nothing moves.
  hs.status = "Suspended"
elseif status.observedGeneration == generation then
  if conditions.Stalled ~= nil then
    hs.status = "Degraded"
  elseif ready.status == "True" then
    hs.status = "Healthy"
  end
end
if hs.status == "Healthy" and conditions.Drifted ~= nil then
  hs.message = hs.message .. "; " .. conditions.Drifted.message
end
return hs
