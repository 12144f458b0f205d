-- wrk's script: every request sends one OTP to a phone of its own, over all served prefixes, with several keys in turn.
--
-- The environment says: NEXO_KEYS (separated by commas), NEXO_PREFIXES (three national digits each), NEXO_FROM (index of
-- the first phone), NEXO_THREADS. Phones are numbered as in load-tests/open_loop/phones.rs; numbers that end in 0000NN
-- are left out, because they force an outcome of the simulator. Prints one line of JSON at the end.

local PER_PREFIX = 999900

local function split(text)
  local parts = {}
  for part in string.gmatch(text or "", "[^,]+") do parts[#parts + 1] = part end
  return parts
end

local threads = 0

function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

function init()
  keys, prefixes = split(os.getenv("NEXO_KEYS")), split(os.getenv("NEXO_PREFIXES"))
  step = tonumber(os.getenv("NEXO_THREADS"))
  n = tonumber(os.getenv("NEXO_FROM")) + thread_number
  heads = {}
  local length = #'{"phone":"+84000000000","code":"000000"}'
  for i, key in ipairs(keys) do
    heads[i] = "POST /api/v1/send-otp HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nAuthorization: Bearer " .. key ..
      "\r\nContent-Type: application/json\r\nContent-Length: " .. length .. "\r\n\r\n" .. '{"phone":"+84'
  end
end

local floor, format = math.floor, string.format

function request()
  local prefix = prefixes[n % #prefixes + 1]
  local subscriber = 100 + floor(n / #prefixes) % PER_PREFIX
  local text = format('%s%s%06d","code":"%06d"}', heads[n % #keys + 1], prefix, subscriber, n % 1000000)
  n = n + step
  return text
end

function done(summary, latency, requests)
  io.write(format(
    'JSON {"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p90_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"not_2xx":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
