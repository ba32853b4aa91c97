-- Ends the session that get.lua found, and returns 0. A file of its own: Lua then defines the function of remove.lua only
-- for these reads.
if mode ~= 'nothing' then
  remove(string.sub(KEYS[4], 1, -#token - 1), app, token, fields[1])
end
return 0
