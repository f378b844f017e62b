-- Asks Portcullis about each request of HAProxy 2.6 or newer, which has no forward authentication of its own.
-- haproxy.cfg calls `lua.portcullis ADDRESS`, and admits a request only after `txn.portcullis_admitted` was set at the
-- end of `admit`. So an error in here refuses.

-- HAProxy tries four times before it gives up.
local TIMEOUT_MS = 250

-- Headers of one connection, which say nothing about the request or its answer.
local OF_A_CONNECTION = {
  ["connection"] = true,
  ["content-length"] = true,
  ["date"] = true,
  ["expect"] = true,
  ["host"] = true,
  ["keep-alive"] = true,
  ["proxy-connection"] = true,
  ["te"] = true,
  ["trailer"] = true,
  ["transfer-encoding"] = true,
  ["upgrade"] = true,
}

-- Returns a list of HAProxy's, which begins at 0, as one of Lua's.
local function values_of(header)
  local values = {}
  for index = 0, #header do
    values[#values + 1] = header[index]
  end
  return values
end

-- Returns the headers of the question: the client's own ones, and the description of the request.
local function question(txn)
  local headers = {}
  for name, header in pairs(txn.http:req_get_headers()) do
    if not OF_A_CONNECTION[name] then
      headers[name] = values_of(header)
    end
  end
  headers["host"] = { "portcullis" }
  headers["x-forwarded-method"] = { txn.sf:method() }
  headers["x-forwarded-uri"] = { txn.sf:url() }
  headers["x-forwarded-host"] = { txn.sf:req_hdr("host") }
  headers["x-forwarded-proto"] = { txn.sf:ssl_fc() == 1 and "https" or "http" }
  headers["x-forwarded-for"] = { txn.sf:src() }
  return headers
end

-- Replaces a header of the request by that of the answer. If the answer has none, the request keeps none.
local function replace(txn, answer, name)
  txn.http:req_del_header(name)
  local header = answer.headers[name]
  if header and header[0] ~= "" then
    txn.http:req_set_header(name, header[0])
  end
end

local function admit(txn, answer)
  replace(txn, answer, "authorization")
  replace(txn, answer, "cookie")
  for name in pairs(answer.headers) do
    if name:find("^x%-portcullis%-") then
      replace(txn, answer, name)
    end
  end
  txn:set_var("txn.portcullis_admitted", true)
end

local function refuse(txn, answer)
  local headers = {}
  for name, header in pairs(answer.headers) do
    if not OF_A_CONNECTION[name] then
      headers[name] = values_of(header)
    end
  end
  txn:done(txn:reply({ status = answer.status, headers = headers, body = answer.body }))
end

local function ask(txn, address)
  local answer = core.httpclient():get({
    url = "http://portcullis/verify",
    dst = address,
    headers = question(txn),
    timeout = TIMEOUT_MS,
  })
  local headers = answer and answer.headers
  -- Every answer of Portcullis says this. HAProxy's own one, when nobody answers, does not.
  local cache_control = headers and headers["cache-control"]
  if not cache_control or cache_control[0] ~= "no-store" then
    return
  end
  if answer.status >= 300 then
    refuse(txn, answer)
  elseif headers["portcullis-decision"] and headers["portcullis-decision"][0] == "allow" then
    admit(txn, answer)
  end
end

core.register_action("portcullis", { "http-req" }, ask, 1)
