-- The filter's work on a route with `session: required`, as a script for Envoy's Lua filter: one lookup per request, the
-- same local replies, the same headers. It has no metrics, and does not coalesce lookups.

local APP = "mywebapp"
local CLUSTER = "rest-sessions"
local COOKIE = "session-cookie"
local TIMEOUT_MS = 500
local MAX_RESPONSE_BYTES = 262144

-- Headers that only the filter may set. Each stands for all spellings that differ in characters other than letters and
-- digits.
local RESERVED = {
  ["x-session-user"] = true,
  ["x-session-data"] = true,
  ["x-session-set"] = true,
  ["x-session-kill"] = true,
}

-- Trace headers that are copied to the lookup, and the maximum length of each.
local TRACE = {
  ["x-request-id"] = 128,
  ["traceparent"] = 64,
  ["tracestate"] = 512,
  ["b3"] = 128,
  ["x-b3-traceid"] = 64,
  ["x-b3-spanid"] = 64,
  ["x-b3-parentspanid"] = 64,
  ["x-b3-sampled"] = 64,
  ["x-b3-flags"] = 64,
}

local REQUIRED = '{"error":"session_required","message":"This needs a session. Log in first."}'
local UNAVAILABLE = '{"error":"sessions_unavailable","message":"Sessions cannot be checked at the moment."}'
local TOO_LARGE = '{"error":"session_too_large","message":"The session holds more than a request can carry."}'
local MAX_ANNOTATION_BYTES = 6144

local find, gmatch, gsub, match, sub = string.find, string.gmatch, string.gsub, string.match, string.sub

local function deny(handle, status, body, name, value)
  local headers = { [":status"] = status, ["content-type"] = "application/json", ["cache-control"] = "no-store" }
  if name then
    headers[name] = value
  end
  handle:respond(headers, body)
end

local function session_required(handle)
  deny(handle, "401", REQUIRED, "www-authenticate", 'Session realm="' .. APP .. '"')
end

local function is_token(value)
  -- The last eight characters are the time of creation in milliseconds, in base 36.
  return #value == 64 and not find(value, "%W") and tonumber(sub(value, 57), 36) <= (os.time() + 60) * 1000
end

-- The token in a Cookie header, given that of earlier headers; and whether two tokens differ.
local function token_in(cookies, token)
  for name, value in gmatch(cookies, "([^=;%s]+)=([^;]*)") do
    if name == COOKIE then
      value = match(value, '^%s*"?(.-)"?%s*$')
      if is_token(value) then
        if token and token ~= value then
          return nil, true
        end
        token = value
      end
    end
  end
  return token, false
end

-- The values of a JSON object as text, by key; nil if it is malformed. Only `d` may be an object itself.
local function read_object(text, may_nest)
  local values = {}
  local at = 2
  if sub(text, 1, 1) ~= "{" then
    return nil
  end
  if text == "{}" then
    return values
  end
  while true do
    local _, key_end, key = find(text, '^%s*"([^"\\]*)"%s*:%s*', at)
    if not key or values[key] then
      return nil
    end
    at = key_end + 1
    local first = sub(text, at, at)
    local value_end
    if first == '"' then
      local from = at + 1
      repeat
        value_end = find(text, '"', from, true)
        if not value_end then
          return nil
        end
        local slashes = match(sub(text, at + 1, value_end - 1), "(\\*)$")
        from = value_end + 1
      until #slashes % 2 == 0
    elseif first == "{" and may_nest and key == "d" then
      -- Strings may contain braces: `d` ends at the first brace with a valid object before it.
      local inner_end = find(text, "}", at, true)
      while inner_end and not read_object(sub(text, at, inner_end), false) do
        inner_end = find(text, "}", inner_end + 1, true)
      end
      value_end = inner_end
    else
      _, value_end = find(text, "^-?%d[%d.eE+-]*", at)
      if not value_end then
        _, value_end = find(text, "^%l+", at)
        local word = value_end and sub(text, at, value_end)
        if word ~= "true" and word ~= "false" and word ~= "null" then
          return nil
        end
      end
    end
    if not value_end then
      return nil
    end
    values[key] = sub(text, at, value_end)
    local _, next_at, separator = find(text, "^%s*([,}])", value_end + 1)
    if separator == "}" then
      return next_at == #text and values or nil
    elseif not separator then
      return nil
    end
    at = next_at + 1
  end
end

local function percent(byte)
  return string.format("%%%02X", byte:byte())
end

-- The JSON escape, in ASCII, of a character in UTF-8.
local function escaped(character)
  local a, b, c, d = character:byte(1, 4)
  if d then
    local code = (a % 8) * 0x40000 + (b % 64) * 0x1000 + (c % 64) * 64 + d % 64 - 0x10000
    return string.format("\\u%04x\\u%04x", 0xD800 + math.floor(code / 0x400), 0xDC00 + code % 0x400)
  end
  return string.format("\\u%04x", c and (a % 16) * 0x1000 + (b % 64) * 64 + c % 64 or (a % 32) * 64 + b % 64)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local call = {
    [":method"] = "GET",
    [":authority"] = CLUSTER,
    ["accept"] = "application/json",
    ["x-envoy-retry-on"] = "connect-failure,refused-stream,reset",
    ["x-envoy-max-retries"] = "1",
  }
  local token, conflict, spoofed
  for name, value in pairs(headers) do
    if name == "cookie" then
      if not conflict then
        token, conflict = token_in(value, token)
      end
    elseif TRACE[name] then
      if #value <= TRACE[name] and find(value, "^[!-~]+$") then
        -- A header that occurs twice is not copied.
        call[name] = call[name] == nil and value or false
      end
    elseif RESERVED[(gsub(name, "[^%w]", "-"))] then
      spoofed = spoofed or {}
      spoofed[#spoofed + 1] = name
    end
  end
  -- The map cannot be changed during the iteration.
  for _, name in ipairs(spoofed or {}) do
    headers:remove(name)
  end
  if not token then
    return session_required(handle)
  end
  for name in pairs(TRACE) do
    if call[name] == false then
      call[name] = nil
    end
  end

  call[":path"] = "/" .. APP .. "/get/" .. token
  local response, body = handle:httpCall(CLUSTER, call, "", TIMEOUT_MS)
  local status = response and tonumber(response[":status"]) or 503
  if status >= 500 or status == 429 then
    return deny(handle, "503", UNAVAILABLE, "retry-after", "1")
  end
  local session = status == 200 and body and #body <= MAX_RESPONSE_BYTES and read_object(body, true)
  if not session then
    return deny(handle, "503", UNAVAILABLE)
  elseif body == "{}" then
    return session_required(handle)
  end
  local id, data = session.id, session.d or "{}"
  -- This reader does not decode escapes, so a session with one in its id is rejected.
  if not find(id or "", '^"[^\\]+"$') or not find(session.ttl or "", "^%d") or sub(data, 1, 1) ~= "{" then
    return deny(handle, "503", UNAVAILABLE)
  end
  id = gsub(sub(id, 2, -2), "[^ -$&-~]", percent)
  data = gsub(data, "[\194-\244][\128-\191]+", escaped)
  if #id + #data > MAX_ANNOTATION_BYTES then
    return deny(handle, "500", TOO_LARGE)
  end
  -- The header object from before the call is invalid now. Using it would raise, and Envoy would let the request pass.
  headers = handle:headers()
  headers:replace("x-session-user", id)
  headers:replace("x-session-data", data)
end
