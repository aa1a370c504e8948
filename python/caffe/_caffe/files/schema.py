"""Caffe's schema: every message, field, number, label and default, as one compact table.

In:   nothing; the facts are the field numbers that every .caffemodel and .solverstate relies on.
Out:  SCHEMA (Caffe's own schema) and EXTENSIONS (fields of forks), both read by proto_pool.py.
Not here: building descriptors and classes (proto_pool.py).   Source: caffe.proto of BVLC Caffe.

How to read it: `message NAME` opens a message; then come `enum NAME: VALUE=number ...` lines and
fields `number type name=default`, separated by semicolons. After a type, `*` means repeated, `**`
repeated and packed, `!` required; a type with a leading dot is an enum of the same message.

How to add a field that only a fork of Caffe has: write it into EXTENSIONS, under `message NAME` of
the message it extends (or of a new message), in the same notation. A new field of a message of
Caffe's gets a private number >= 10000 there, whatever number the fork gave it: forks have used the
same numbers for different fields, so only the name tells them apart. proto_pool.py checks this.
"""

EXTENSIONS = """
"""

SCHEMA = """
enum Phase: TRAIN=0 TEST=1
message BlobShape
  1 int64** dim
message BlobProto
  7 BlobShape shape; 5 float** data; 6 float** diff; 8 double** double_data
  9 double** double_diff; 1 int32 num=0; 2 int32 channels=0; 3 int32 height=0; 4 int32 width=0
message BlobProtoVector
  1 BlobProto* blobs
message Datum
  1 int32 channels; 2 int32 height; 3 int32 width; 4 bytes data; 5 int32 label
  6 float* float_data; 7 bool encoded=false
message FillerParameter
  enum VarianceNorm: FAN_IN=0 FAN_OUT=1 AVERAGE=2
  1 string type=constant; 2 float value=0
  3 float min=0; 4 float max=1; 5 float mean=0; 6 float std=1; 7 int32 sparse=-1
  8 .VarianceNorm variance_norm=FAN_IN
message NetParameter
  1 string name; 3 string* input; 8 BlobShape* input_shape; 4 int32* input_dim
  5 bool force_backward=false; 6 NetState state; 7 bool debug_info=false
  100 LayerParameter* layer; 2 V1LayerParameter* layers
message SolverParameter
  enum SnapshotFormat: HDF5=0 BINARYPROTO=1
  enum SolverMode: CPU=0 GPU=1
  enum SolverType: SGD=0 NESTEROV=1 ADAGRAD=2 RMSPROP=3 ADADELTA=4 ADAM=5
  24 string net
  25 NetParameter net_param; 1 string train_net; 2 string* test_net
  21 NetParameter train_net_param; 22 NetParameter* test_net_param; 26 NetState train_state
  27 NetState* test_state; 3 int32* test_iter; 4 int32 test_interval=0
  19 bool test_compute_loss=false; 32 bool test_initialization=true; 5 float base_lr
  6 int32 display; 33 int32 average_loss=1; 7 int32 max_iter; 36 int32 iter_size=1
  8 string lr_policy; 9 float gamma; 10 float power; 11 float momentum; 12 float weight_decay
  29 string regularization_type=L2; 13 int32 stepsize; 34 int32* stepvalue
  35 float clip_gradients=-1; 14 int32 snapshot=0; 15 string snapshot_prefix
  16 bool snapshot_diff=false; 37 .SnapshotFormat snapshot_format=BINARYPROTO
  17 .SolverMode solver_mode=GPU; 18 int32 device_id=0; 20 int64 random_seed=-1
  40 string type=SGD; 31 float delta=1e-08; 39 float momentum2=0.999; 38 float rms_decay=0.99
  23 bool debug_info=false; 28 bool snapshot_after_train=true; 30 .SolverType solver_type=SGD
  41 bool layer_wise_reduce=true; 42 string* weights
message SolverState
  1 int32 iter; 2 string learned_net; 3 BlobProto* history; 4 int32 current_step=0
message NetState
  1 Phase phase=TEST; 2 int32 level=0; 3 string* stage
message NetStateRule
  1 Phase phase; 2 int32 min_level; 3 int32 max_level; 4 string* stage; 5 string* not_stage
message ParamSpec
  enum DimCheckMode: STRICT=0 PERMISSIVE=1
  1 string name; 2 .DimCheckMode share_mode
  3 float lr_mult=1; 4 float decay_mult=1
message LayerParameter
  1 string name; 2 string type; 3 string* bottom; 4 string* top; 10 Phase phase
  5 float* loss_weight; 6 ParamSpec* param; 7 BlobProto* blobs; 11 bool* propagate_down
  8 NetStateRule* include; 9 NetStateRule* exclude; 100 TransformationParameter transform_param
  101 LossParameter loss_param; 102 AccuracyParameter accuracy_param
  103 ArgMaxParameter argmax_param; 139 BatchNormParameter batch_norm_param
  141 BiasParameter bias_param; 148 ClipParameter clip_param; 104 ConcatParameter concat_param
  105 ContrastiveLossParameter contrastive_loss_param
  106 ConvolutionParameter convolution_param; 144 CropParameter crop_param
  107 DataParameter data_param; 108 DropoutParameter dropout_param
  109 DummyDataParameter dummy_data_param; 110 EltwiseParameter eltwise_param
  140 ELUParameter elu_param; 137 EmbedParameter embed_param; 111 ExpParameter exp_param
  135 FlattenParameter flatten_param; 112 HDF5DataParameter hdf5_data_param
  113 HDF5OutputParameter hdf5_output_param; 114 HingeLossParameter hinge_loss_param
  115 ImageDataParameter image_data_param; 116 InfogainLossParameter infogain_loss_param
  117 InnerProductParameter inner_product_param; 143 InputParameter input_param
  134 LogParameter log_param; 118 LRNParameter lrn_param
  119 MemoryDataParameter memory_data_param; 120 MVNParameter mvn_param
  145 ParameterParameter parameter_param; 121 PoolingParameter pooling_param
  122 PowerParameter power_param; 131 PReLUParameter prelu_param
  130 PythonParameter python_param; 146 RecurrentParameter recurrent_param
  136 ReductionParameter reduction_param; 123 ReLUParameter relu_param
  133 ReshapeParameter reshape_param; 142 ScaleParameter scale_param
  124 SigmoidParameter sigmoid_param; 125 SoftmaxParameter softmax_param
  132 SPPParameter spp_param; 126 SliceParameter slice_param; 147 SwishParameter swish_param
  127 TanHParameter tanh_param; 128 ThresholdParameter threshold_param
  138 TileParameter tile_param; 129 WindowDataParameter window_data_param
message TransformationParameter
  1 float scale=1; 2 bool mirror=false; 3 uint32 crop_size=0; 4 string mean_file
  5 float* mean_value; 6 bool force_color=false; 7 bool force_gray=false
message LossParameter
  enum NormalizationMode: FULL=0 VALID=1 BATCH_SIZE=2 NONE=3
  1 int32 ignore_label
  3 .NormalizationMode normalization=VALID; 2 bool normalize
message AccuracyParameter
  1 uint32 top_k=1; 2 int32 axis=1; 3 int32 ignore_label
message ArgMaxParameter
  1 bool out_max_val=false; 2 uint32 top_k=1; 3 int32 axis
message ClipParameter
  1 float! min; 2 float! max
message ConcatParameter
  2 int32 axis=1; 1 uint32 concat_dim=1
message BatchNormParameter
  1 bool use_global_stats; 2 float moving_average_fraction=0.999; 3 float eps=1e-05
message BiasParameter
  1 int32 axis=1; 2 int32 num_axes=1; 3 FillerParameter filler
message ContrastiveLossParameter
  1 float margin=1; 2 bool legacy_version=false
message ConvolutionParameter
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  1 uint32 num_output; 2 bool bias_term=true
  3 uint32* pad; 4 uint32* kernel_size; 6 uint32* stride; 18 uint32* dilation; 9 uint32 pad_h=0
  10 uint32 pad_w=0; 11 uint32 kernel_h; 12 uint32 kernel_w; 13 uint32 stride_h
  14 uint32 stride_w; 5 uint32 group=1; 7 FillerParameter weight_filler
  8 FillerParameter bias_filler; 15 .Engine engine=DEFAULT; 16 int32 axis=1
  17 bool force_nd_im2col=false
message CropParameter
  1 int32 axis=2; 2 uint32* offset
message DataParameter
  enum DB: LEVELDB=0 LMDB=1
  1 string source; 4 uint32 batch_size; 7 uint32 rand_skip=0
  8 .DB backend=LEVELDB; 2 float scale=1; 3 string mean_file; 5 uint32 crop_size=0
  6 bool mirror=false; 9 bool force_encoded_color=false; 10 uint32 prefetch=4
message DropoutParameter
  1 float dropout_ratio=0.5
message DummyDataParameter
  1 FillerParameter* data_filler; 6 BlobShape* shape; 2 uint32* num; 3 uint32* channels
  4 uint32* height; 5 uint32* width
message EltwiseParameter
  enum EltwiseOp: PROD=0 SUM=1 MAX=2
  1 .EltwiseOp operation=SUM; 2 float* coeff
  3 bool stable_prod_grad=true
message ELUParameter
  1 float alpha=1
message EmbedParameter
  1 uint32 num_output; 2 uint32 input_dim; 3 bool bias_term=true
  4 FillerParameter weight_filler; 5 FillerParameter bias_filler
message ExpParameter
  1 float base=-1; 2 float scale=1; 3 float shift=0
message FlattenParameter
  1 int32 axis=1; 2 int32 end_axis=-1
message HDF5DataParameter
  1 string source; 2 uint32 batch_size; 3 bool shuffle=false
message HDF5OutputParameter
  1 string file_name
message HingeLossParameter
  enum Norm: L1=1 L2=2
  1 .Norm norm=L1
message ImageDataParameter
  1 string source; 4 uint32 batch_size=1; 7 uint32 rand_skip=0; 8 bool shuffle=false
  9 uint32 new_height=0; 10 uint32 new_width=0; 11 bool is_color=true; 2 float scale=1
  3 string mean_file; 5 uint32 crop_size=0; 6 bool mirror=false; 12 string root_folder=
message InfogainLossParameter
  1 string source; 2 int32 axis=1
message InnerProductParameter
  1 uint32 num_output; 2 bool bias_term=true; 3 FillerParameter weight_filler
  4 FillerParameter bias_filler; 5 int32 axis=1; 6 bool transpose=false
message InputParameter
  1 BlobShape* shape
message LogParameter
  1 float base=-1; 2 float scale=1; 3 float shift=0
message LRNParameter
  enum NormRegion: ACROSS_CHANNELS=0 WITHIN_CHANNEL=1
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  1 uint32 local_size=5; 2 float alpha=1; 3 float beta=0.75
  4 .NormRegion norm_region=ACROSS_CHANNELS; 5 float k=1; 6 .Engine engine=DEFAULT
message MemoryDataParameter
  1 uint32 batch_size; 2 uint32 channels; 3 uint32 height; 4 uint32 width
message MVNParameter
  1 bool normalize_variance=true; 2 bool across_channels=false; 3 float eps=1e-09
message ParameterParameter
  1 BlobShape shape
message PoolingParameter
  enum PoolMethod: MAX=0 AVE=1 STOCHASTIC=2
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  enum RoundMode: CEIL=0 FLOOR=1
  1 .PoolMethod pool=MAX; 4 uint32 pad=0; 9 uint32 pad_h=0
  10 uint32 pad_w=0; 2 uint32 kernel_size; 5 uint32 kernel_h; 6 uint32 kernel_w
  3 uint32 stride=1; 7 uint32 stride_h; 8 uint32 stride_w; 11 .Engine engine=DEFAULT
  12 bool global_pooling=false; 13 .RoundMode round_mode=CEIL
message PowerParameter
  1 float power=1; 2 float scale=1; 3 float shift=0
message PythonParameter
  1 string module; 2 string layer; 3 string param_str=; 4 bool share_in_parallel=false
message RecurrentParameter
  1 uint32 num_output=0; 2 FillerParameter weight_filler; 3 FillerParameter bias_filler
  4 bool debug_info=false; 5 bool expose_hidden=false
message ReductionParameter
  enum ReductionOp: SUM=1 ASUM=2 SUMSQ=3 MEAN=4
  1 .ReductionOp operation=SUM; 2 int32 axis=0
  3 float coeff=1
message ReLUParameter
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  1 float negative_slope=0; 2 .Engine engine=DEFAULT
message ReshapeParameter
  1 BlobShape shape; 2 int32 axis=0; 3 int32 num_axes=-1
message ScaleParameter
  1 int32 axis=1; 2 int32 num_axes=1; 3 FillerParameter filler; 4 bool bias_term=false
  5 FillerParameter bias_filler
message SigmoidParameter
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  1 .Engine engine=DEFAULT
message SliceParameter
  3 int32 axis=1; 2 uint32* slice_point; 1 uint32 slice_dim=1
message SoftmaxParameter
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  1 .Engine engine=DEFAULT; 2 int32 axis=1
message SwishParameter
  1 float beta=1
message TanHParameter
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  1 .Engine engine=DEFAULT
message TileParameter
  1 int32 axis=1; 2 int32 tiles
message ThresholdParameter
  1 float threshold=0
message WindowDataParameter
  1 string source; 2 float scale=1; 3 string mean_file; 4 uint32 batch_size
  5 uint32 crop_size=0; 6 bool mirror=false; 7 float fg_threshold=0.5; 8 float bg_threshold=0.5
  9 float fg_fraction=0.25; 10 uint32 context_pad=0; 11 string crop_mode=warp
  12 bool cache_images=false; 13 string root_folder=
message SPPParameter
  enum PoolMethod: MAX=0 AVE=1 STOCHASTIC=2
  enum Engine: DEFAULT=0 CAFFE=1 CUDNN=2
  1 uint32 pyramid_height; 2 .PoolMethod pool=MAX; 6 .Engine engine=DEFAULT
message V1LayerParameter
  enum LayerType: NONE=0 ABSVAL=35 ACCURACY=1 ARGMAX=30 BNLL=2 CONCAT=3 CONTRASTIVE_LOSS=37
    CONVOLUTION=4
    DATA=5 DECONVOLUTION=39 DROPOUT=6 DUMMY_DATA=32 EUCLIDEAN_LOSS=7 ELTWISE=25 EXP=38
    FLATTEN=8 HDF5_DATA=9 HDF5_OUTPUT=10 HINGE_LOSS=28 IM2COL=11 IMAGE_DATA=12
    INFOGAIN_LOSS=13 INNER_PRODUCT=14 LRN=15 MEMORY_DATA=29 MULTINOMIAL_LOGISTIC_LOSS=16
    MVN=34 POOLING=17 POWER=26 RELU=18 SIGMOID=19 SIGMOID_CROSS_ENTROPY_LOSS=27 SILENCE=36
    SOFTMAX=20 SOFTMAX_LOSS=21 SPLIT=22 SLICE=33 TANH=23 WINDOW_DATA=24 THRESHOLD=31
  enum DimCheckMode: STRICT=0 PERMISSIVE=1
  2 string* bottom; 3 string* top; 4 string name
  32 NetStateRule* include; 33 NetStateRule* exclude; 5 .LayerType type; 6 BlobProto* blobs
  1001 string* param; 1002 .DimCheckMode* blob_share_mode; 7 float* blobs_lr
  8 float* weight_decay; 35 float* loss_weight; 27 AccuracyParameter accuracy_param
  23 ArgMaxParameter argmax_param; 9 ConcatParameter concat_param
  40 ContrastiveLossParameter contrastive_loss_param; 10 ConvolutionParameter convolution_param
  11 DataParameter data_param; 12 DropoutParameter dropout_param
  26 DummyDataParameter dummy_data_param; 24 EltwiseParameter eltwise_param
  41 ExpParameter exp_param; 13 HDF5DataParameter hdf5_data_param
  14 HDF5OutputParameter hdf5_output_param; 29 HingeLossParameter hinge_loss_param
  15 ImageDataParameter image_data_param; 16 InfogainLossParameter infogain_loss_param
  17 InnerProductParameter inner_product_param; 18 LRNParameter lrn_param
  22 MemoryDataParameter memory_data_param; 34 MVNParameter mvn_param
  19 PoolingParameter pooling_param; 21 PowerParameter power_param; 30 ReLUParameter relu_param
  38 SigmoidParameter sigmoid_param; 39 SoftmaxParameter softmax_param
  31 SliceParameter slice_param; 37 TanHParameter tanh_param
  25 ThresholdParameter threshold_param; 20 WindowDataParameter window_data_param
  36 TransformationParameter transform_param; 42 LossParameter loss_param
  1 V0LayerParameter layer
message V0LayerParameter
  enum PoolMethod: MAX=0 AVE=1 STOCHASTIC=2
  1 string name; 2 string type; 3 uint32 num_output
  4 bool biasterm=true; 5 FillerParameter weight_filler; 6 FillerParameter bias_filler
  7 uint32 pad=0; 8 uint32 kernelsize; 9 uint32 group=1; 10 uint32 stride=1
  11 .PoolMethod pool=MAX; 12 float dropout_ratio=0.5; 13 uint32 local_size=5; 14 float alpha=1
  15 float beta=0.75; 22 float k=1; 16 string source; 17 float scale=1; 18 string meanfile
  19 uint32 batchsize; 20 uint32 cropsize=0; 21 bool mirror=false; 50 BlobProto* blobs
  51 float* blobs_lr; 52 float* weight_decay; 53 uint32 rand_skip=0
  54 float det_fg_threshold=0.5; 55 float det_bg_threshold=0.5; 56 float det_fg_fraction=0.25
  58 uint32 det_context_pad=0; 59 string det_crop_mode=warp; 60 int32 new_num=0
  61 int32 new_channels=0; 62 int32 new_height=0; 63 int32 new_width=0
  64 bool shuffle_images=false; 65 uint32 concat_dim=1
  1001 HDF5OutputParameter hdf5_output_param
message PReLUParameter
  1 FillerParameter filler; 2 bool channel_shared=false
"""
