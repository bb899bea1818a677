// http-proxy-3 with a keep-alive agent: node http-proxy.cjs PORT TARGET
const http = require("node:http");
const { createProxyServer } = require("http-proxy-3");

const [port, target] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1024, maxFreeSockets: 256 });
const proxy = createProxyServer({ target, agent, xfwd: true });
proxy.on("error", (error, request, response) => {
  response.writeHead?.(502);
  response.end?.();
});
http.createServer((request, response) => proxy.web(request, response)).listen(Number(port), "127.0.0.1", 4096);
