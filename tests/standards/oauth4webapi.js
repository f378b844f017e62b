// A client of OAuth 2.0 by oauth4webapi. It obeys commands, one JSON object a line, and answers each by a line.
import * as oauth from 'oauth4webapi';
import { serve } from './commands.js';

// The tests speak HTTP on this machine.
const options = { [oauth.allowInsecureRequests]: true };

const issuer = new URL(process.env.ISSUER);
let server;

function authentication(method, secret) {
  switch (method) {
    case 'basic':
      return oauth.ClientSecretBasic(secret);
    case 'post':
      return oauth.ClientSecretPost(secret);
    default:
      return oauth.None();
  }
}

serve({
  async discover() {
    const response = await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' });
    server = await oauth.processDiscoveryResponse(issuer, response);
    return server;
  },

  async introspect({ method, id, secret, token, parameters }) {
    const client = { client_id: id };
    const response = await oauth.introspectionRequest(server, client, authentication(method, secret), token, {
      ...options,
      additionalParameters: parameters,
    });
    return oauth.processIntrospectionResponse(server, client, response);
  },

  async revoke({ method, id, secret, token, parameters }) {
    const client = { client_id: id };
    const response = await oauth.revocationRequest(server, client, authentication(method, secret), token, {
      ...options,
      additionalParameters: parameters,
    });
    await oauth.processRevocationResponse(response);
    return {};
  },
});
