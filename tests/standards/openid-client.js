// A client of OAuth 2.0 by openid-client. It obeys commands, one JSON object a line, and answers each by a line.
import * as openid from 'openid-client';
import { serve } from './commands.js';

const issuer = new URL(process.env.ISSUER);

function authentication(method, secret) {
  switch (method) {
    case 'basic':
      return openid.ClientSecretBasic(secret);
    case 'post':
      return openid.ClientSecretPost(secret);
    default:
      return openid.None();
  }
}

function discover(id, method, secret) {
  return openid.discovery(issuer, id, undefined, authentication(method, secret), {
    algorithm: 'oauth2',
    // The tests speak HTTP on this machine.
    execute: [openid.allowInsecureRequests],
  });
}

serve({
  async discover() {
    const configuration = await discover('anybody');
    return configuration.serverMetadata();
  },

  async introspect({ method, id, secret, token, parameters }) {
    return openid.tokenIntrospection(await discover(id, method, secret), token, parameters);
  },

  async revoke({ method, id, secret, token, parameters }) {
    await openid.tokenRevocation(await discover(id, method, secret), token, parameters);
    return {};
  },
});
