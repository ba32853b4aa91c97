-- Ends the session that get.lua found, and returns 0. It is a script of its own so that remove.lua, before it, costs the
-- other reads nothing.
if mode ~= 'nothing' then
  remove(string.sub(KEYS[4], 1, -#token - 1), app, token, fields[1])
end
return 0
