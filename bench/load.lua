-- The script of wrk. It sends requests like those of a browser. If its argument names a file of Cookie headers, one a
-- line, each request has the next of them. After wrk's own report it prints a line of JSON.

-- Replaced by the Cookie header of each request.
local PLACEHOLDER = "the-cookie-goes-here"
local HEADERS = {
  ["host"] = "shop.example.com",
  ["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  ["accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  ["accept-language"] = "en-US,en;q=0.5",
  ["accept-encoding"] = "gzip, deflate, br",
  ["sec-fetch-mode"] = "navigate",
  ["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

local before, after
local cookies = {}
local position = 0

function init(args)
  if args[1] then
    for line in io.lines(args[1]) do
      cookies[#cookies + 1] = line
    end
    HEADERS["cookie"] = PLACEHOLDER
    -- A run may be too short for a long file; starting at random lets the runs together use all of it.
    math.randomseed(os.time())
    position = math.random(#cookies)
  end
  local request = wrk.format("GET", wrk.path, HEADERS)
  local from, to = string.find(request, PLACEHOLDER, 1, true)
  before = string.sub(request, 1, (from or 0) - 1)
  after = from and string.sub(request, to + 1) or ""
end

function request()
  if #cookies == 0 then
    return before
  end
  position = position % #cookies + 1
  return before .. cookies[position] .. after
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
