-- Ends a wrk run with one line of JSON. With arguments, which are cookies, it sends one request after the other with
-- the next of them; without, it defines nothing that runs once a request.
init = function(cookies)
  if #cookies == 0 then return end
  local requests, last = {}, 0
  for number, cookie in ipairs(cookies) do
    wrk.headers["Cookie"] = cookie
    requests[number] = wrk.format()
  end
  request = function()
    last = last % #requests + 1
    return requests[last]
  end
end

done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "errors": %d, "p50_us": %.1f, "p99_us": %.1f}\n',
    summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
