-- The script of wrk. It repeats one request, with wrk's URL and headers, and these options after `--`:
--   lines=FILE   PLACEHOLDER in the request stands for a line of the file; each request has the next line
--   body=JSON    the request is a POST with this body
--   pause=MS     each connection waits this long before each request
-- After wrk's own report it prints a line of JSON.

local PLACEHOLDER = "the-line-goes-here"

local before, after
local lines = {}
local position = 0

local function options(args)
  local found = {}
  for _, argument in ipairs(args) do
    local key, value = string.match(argument, "^(%w+)=(.*)$")
    found[key] = value
  end
  return found
end

function init(args)
  local given = options(args)
  if given.lines then
    for line in io.lines(given.lines) do
      lines[#lines + 1] = line
    end
    -- A run may be too short for a long file; starting at random lets the runs together use all of it.
    math.randomseed(os.time())
    position = math.random(#lines)
  end
  if given.pause then
    function delay()
      return tonumber(given.pause)
    end
  end
  local request = wrk.format(given.body and "POST" or "GET", wrk.path, wrk.headers, given.body)
  local from, to = string.find(request, PLACEHOLDER, 1, true)
  before = string.sub(request, 1, (from or 0) - 1)
  after = from and string.sub(request, to + 1) or ""
end

function request()
  if #lines == 0 then
    return before
  end
  position = position % #lines + 1
  return before .. lines[position] .. after
end

function done(summary, latency)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(
    string.format(
      '{"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"max_us":%d,"refused":%d,"broken":%d}',
      summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
      errors.status, broken
    )
  )
end
