-- Ends a wrk run with one line of JSON. It defines nothing that runs once a request.
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "errors": %d, "p50_us": %.1f, "p99_us": %.1f}\n',
    summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
