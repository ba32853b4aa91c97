-- What wrk sends, and what it reports: requests as a browser makes them, each with the next of the Cookie headers in a
-- file (one a line), if one is named; and a line of JSON after wrk's own report.

local PLACE = "the-cookie-goes-here"
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
local turn = 0

function init(args)
  if args[1] then
    for line in io.lines(args[1]) do
      cookies[#cookies + 1] = line
    end
    HEADERS["cookie"] = PLACE
    -- A run is shorter than a long file, and all of it is to be used.
    math.randomseed(os.time())
    turn = math.random(#cookies)
  end
  local request = wrk.format("GET", wrk.path, HEADERS)
  local from, to = string.find(request, PLACE, 1, true)
  before = string.sub(request, 1, (from or 0) - 1)
  after = from and string.sub(request, to + 1) or ""
end

function request()
  if #cookies == 0 then
    return before
  end
  turn = turn % #cookies + 1
  return before .. cookies[turn] .. after
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
