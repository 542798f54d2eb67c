// Mamba-1 selective scan in float32 and its gradient, one thread.
//
//   S_t = exp(dt_t A) S_{t-1} + dt_t u_t B_t,   y_t = C_t . S_t
//
// u, dt, y [batch, len, d_inner]; A [d_inner, N]; B, C [batch, len, N]. scan_backward expects zeroed gradients.
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 16 };  // d_state: a constant so that the inner loops become one vector each

void scan_forward(int batch, int len, int d_inner, const float *u, const float *dt, const float *A,
                  const float *B, const float *C, float *y) {
  for (int b = 0; b < batch; b++) {
    for (int d = 0; d < d_inner; d++) {
      const float *a = A + (long)d * N;
      float state[N] = {0};
      for (int t = 0; t < len; t++) {
        const long row = (long)b * len + t;
        const long i = row * d_inner + d;
        const float *in = B + row * N, *out = C + row * N;
        const float input = dt[i] * u[i];
        float sum = 0;
        for (int n = 0; n < N; n++) {
          state[n] = expf(dt[i] * a[n]) * state[n] + input * in[n];
          sum += state[n] * out[n];
        }
        y[i] = sum;
      }
    }
  }
}

// One channel of one sequence: the states are recomputed forwards, then the gradient runs backwards.
static void channel_backward(int len, int d_inner, long first, int d, const float *u, const float *dt, const float *a,
                             const float *B, const float *C, const float *dy, float *du, float *ddt, float *da,
                             float *dB, float *dC, float *states, float *decays) {
  memset(states, 0, N * sizeof(float));  // states[t * N]: the state before token t
  for (int t = 0; t < len; t++) {
    const long row = first + t, i = row * d_inner + d;
    const float input = dt[i] * u[i];
    for (int n = 0; n < N; n++) {
      const float decay = expf(dt[i] * a[n]);
      decays[t * N + n] = decay;
      states[(t + 1) * N + n] = decay * states[t * N + n] + input * B[row * N + n];
    }
  }
  float later[N] = {0};  // d loss / d S_t as far as it comes from later tokens
  float sum_a[N] = {0};
  for (int t = len - 1; t >= 0; t--) {
    const long row = first + t, i = row * d_inner + d;
    const float input = dt[i] * u[i];
    float d_dt = 0, d_input = 0;
    for (int n = 0; n < N; n++) {
      const float g = later[n] + dy[i] * C[row * N + n];
      dC[row * N + n] += dy[i] * states[(t + 1) * N + n];
      dB[row * N + n] += g * input;
      d_input += g * B[row * N + n];
      const float g_decayed = g * decays[t * N + n];
      const float g_exponent = g_decayed * states[t * N + n];
      d_dt += g_exponent * a[n];
      sum_a[n] += g_exponent * dt[i];
      later[n] = g_decayed;
    }
    du[i] = d_input * dt[i];
    ddt[i] = d_dt + d_input * u[i];
  }
  for (int n = 0; n < N; n++) da[n] += sum_a[n];
}

void scan_backward(int batch, int len, int d_inner, const float *u, const float *dt, const float *A, const float *B,
                   const float *C, const float *dy, float *du, float *ddt, float *dA, float *dB, float *dC) {
  float *states = malloc(sizeof(float) * (len + 1) * N);
  float *decays = malloc(sizeof(float) * len * N);
  if (!states || !decays) abort();
  for (int b = 0; b < batch; b++)
    for (int d = 0; d < d_inner; d++)
      channel_backward(len, d_inner, (long)b * len, d, u, dt, A + (long)d * N, B, C, dy, du, ddt, dA + (long)d * N,
                       dB, dC, states, decays);
  free(states);
  free(decays);
}
