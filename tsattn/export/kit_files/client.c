/* Runs a SavedModel with TensorFlow's C API, without a server and without Python.

   TF=$(python -c 'import tensorflow as tf; print(tf.sysconfig.get_lib())')
   cc -O2 -I"$TF/include" -o client client.c "$TF"/libtensorflow_cc.so.2 "$TF"/libtensorflow_framework.so.2 -Wl,-rpath,"$TF"
   ./client ../@VERSION@ < request.txt

   Standard input holds the inputs in the order below. Each is a line with its name, the number of axes and their sizes,
   followed by its values. "nan" is a missing value; a string takes one line, with "=" before it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tensorflow/c/c_api.h"

typedef struct { const char *name, *op; int index; TF_DataType type; } Port;
static const Port inputs[] = {
@INPUTS@
};
static const Port outputs[] = {
@OUTPUTS@
};
enum { N_IN = sizeof inputs / sizeof *inputs, N_OUT = sizeof outputs / sizeof *outputs };

static void check(int good, const char *what) {
    if (!good) { fprintf(stderr, "client: %s\n", what); exit(1); }
}

static int read_value(void *data, TF_DataType type, int64_t i) {
    if (type == TF_FLOAT) return scanf("%f", (float *)data + i) == 1;
    if (type == TF_INT32) return scanf("%d", (int *)data + i) == 1;
    if (type == TF_INT64) { long long x; int ok = scanf("%lld", &x) == 1; ((int64_t *)data)[i] = x; return ok; }
    char sign = 0, text[4096] = "";
    if (scanf(" %c", &sign) != 1 || sign != '=') return 0;
    if (scanf("%4095[^\n]", text) == EOF && ferror(stdin)) return 0;
    TF_StringInit((TF_TString *)data + i);
    TF_StringCopy((TF_TString *)data + i, text, strlen(text));
    return 1;
}

static TF_Tensor *read_tensor(const Port *port) {
    char name[256];
    int rank;
    int64_t dims[8], count = 1;
    check(scanf("%255s %d", name, &rank) == 2 && !strcmp(name, port->name) && rank >= 0 && rank <= 8, port->name);
    for (int d = 0; d < rank; d++) {
        long long size;
        check(scanf("%lld", &size) == 1 && size >= 0, "expected the size of an axis");
        count *= dims[d] = size;
    }
    size_t each = port->type == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(port->type);
    TF_Tensor *tensor = TF_AllocateTensor(port->type, dims, rank, count * each);
    for (int64_t i = 0; i < count; i++)
        check(read_value(TF_TensorData(tensor), port->type, i), "expected more values");
    return tensor;
}

static void print_tensor(const char *name, const TF_Tensor *tensor) {
    int64_t count = TF_TensorElementCount(tensor);
    printf("%s %d", name, TF_NumDims(tensor));
    for (int d = 0; d < TF_NumDims(tensor); d++) printf(" %lld", (long long)TF_Dim(tensor, d));
    for (int64_t i = 0; i < count; i++) printf("%c%.9g", i ? ' ' : '\n', ((const float *)TF_TensorData(tensor))[i]);
    printf("\n");
}

int main(int argc, char **argv) {
    check(argc == 2, "expected the folder of a SavedModel");
    const char *tags[] = {"serve"};
    TF_Status *status = TF_NewStatus();
    TF_Graph *graph = TF_NewGraph();
    TF_SessionOptions *options = TF_NewSessionOptions();
    TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
    check(TF_GetCode(status) == TF_OK, TF_Message(status));
    TF_Output in[N_IN], out[N_OUT];
    TF_Tensor *in_tensors[N_IN], *out_tensors[N_OUT];
    for (int i = 0; i < N_IN; i++) {
        in[i] = (TF_Output){TF_GraphOperationByName(graph, inputs[i].op), inputs[i].index};
        check(in[i].oper != NULL, inputs[i].op);
        in_tensors[i] = read_tensor(&inputs[i]);
    }
    for (int i = 0; i < N_OUT; i++) {
        out[i] = (TF_Output){TF_GraphOperationByName(graph, outputs[i].op), outputs[i].index};
        check(out[i].oper != NULL, outputs[i].op);
    }
    TF_SessionRun(session, NULL, in, in_tensors, N_IN, out, out_tensors, N_OUT, NULL, 0, NULL, status);
    check(TF_GetCode(status) == TF_OK, TF_Message(status));
    for (int i = 0; i < N_OUT; i++) print_tensor(outputs[i].name, out_tensors[i]);
    return 0;
}
