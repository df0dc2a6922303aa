-- luajit step.lua LIBRARY HEADER: the README's C example in LuaJIT, with the declarations of the header itself.
local ffi = require("ffi")

local file = assert(io.open(arg[2]))
local header = file:read("*a"):gsub("/%*.-%*/", "")
file:close()
header = header:gsub("#ifdef __cplusplus.-#endif", ""):gsub("#define LAYERWISE_API __attribute__[^\n]*", "")
local constants = {}
for name, value in header:gmatch("#define LAYERWISE_([%w_]+) %(?(%-?%d+)%)?") do constants[name] = tonumber(value) end
ffi.cdef((header:gsub("\n#[^\n]*", ""):gsub("^#[^\n]*", ""):gsub("LAYERWISE_API", "")))
local layerwise = ffi.load(arg[1])

local function check(status)
  if status ~= constants.OK then
    error(ffi.string(layerwise.layerwise_status_name(status)) .. ": " .. ffi.string(layerwise.layerwise_last_error()))
  end
end

local weights = ffi.new("float[5]", 1, 2, 3, 4, 5) -- two layers: 2 and 3 elements
local grads = ffi.new("float[5]", .1, .2, .3, .4, .5)
local first_moment, second_moment = ffi.new("float[5]"), ffi.new("float[2]")
local sizes = ffi.new("int64_t[2]", 2, 3)
local layout = ffi.new("layerwise_plan_options")
check(layerwise.layerwise_plan_options_init(layout, ffi.sizeof(layout)))
layout.layer_count = 2
layout.sizes = sizes
local plan = ffi.new("layerwise_plan *[1]")
check(layerwise.layerwise_plan_create(layout, plan))
local step = ffi.new("layerwise_novograd_options")
check(layerwise.layerwise_novograd_options_init(step, ffi.sizeof(step)))

local function run()
  return layerwise.novograd_step(plan[0], weights, grads, first_moment, second_moment, nil, nil, nil, nil, step, nil)
end
step.lr = -1
assert(run() == constants.ERROR_INVALID_VALUE, "a negative lr is not refused")
step.lr = 0.01
check(run())
for i = 0, 4 do io.write(string.format("%.6f ", weights[i])) end
check(layerwise.layerwise_plan_destroy(plan[0]))
