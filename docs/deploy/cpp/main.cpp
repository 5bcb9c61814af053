// Runs an ONNX file of `acz export --format onnx` with ONNX Runtime's C++ API.
//
//   run_onnx MODEL.onnx                                      says what it takes and gives
//   run_onnx MODEL.onnx features=FILE.npy [--best K] [--out FILE.npy]
//
// Inputs are C-ordered .npy files, one for each input of the model; a mask that is not given is true for every frame. Prints
// the K best labels of every video, and writes the scores, (videos, classes), to --out. Exit code 2: wrong use or input.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

struct Array {
  ONNXTensorElementDataType type;
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};

struct ElementType {
  ONNXTensorElementDataType type;
  size_t size;
};

const std::map<std::string, ElementType> kElementTypes = {
    {"<f4", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4}},
    {"|u1", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1}},
    {"|b1", {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1}},
};

// NumPy's format, versions 1 to 3: magic and version (8 bytes), the header's length (2 bytes, later 4), the header, the data.
Array read_npy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char start[8] = {};
  file.read(start, 8);
  if (!file || std::string(start, 6) != "\x93NUMPY") throw std::runtime_error(path + ": not a .npy file");
  unsigned char length[4] = {};
  file.read(reinterpret_cast<char*>(length), start[6] == 1 ? 2 : 4);
  std::string header(length[0] | length[1] << 8 | length[2] << 16 | size_t(length[3]) << 24, ' ');
  if (!file || header.size() > (1 << 20)) throw std::runtime_error(path + ": damaged header");
  file.read(header.data(), static_cast<std::streamsize>(header.size()));
  std::smatch type, shape;
  if (!std::regex_search(header, type, std::regex("'descr': *'([^']*)'")) || !kElementTypes.count(type[1]) ||
      !std::regex_search(header, shape, std::regex("'shape': *\\(([^)]*)\\)")) ||
      header.find("'fortran_order': False") == std::string::npos)
    throw std::runtime_error(path + ": must be float32, uint8 or bool in C order, found " + header);
  Array array{kElementTypes.at(type[1]).type, {}, {}};
  size_t size = kElementTypes.at(type[1]).size;
  const std::string sides = shape[1];
  const std::regex number("[0-9]+");
  for (std::sregex_iterator side(sides.begin(), sides.end(), number), end; side != end; ++side) {
    array.shape.push_back(std::stoll(side->str()));
    size *= static_cast<size_t>(array.shape.back());
  }
  const auto data = file.tellg();
  file.seekg(0, std::ios::end);
  if (static_cast<size_t>(file.tellg() - data) != size) throw std::runtime_error(path + ": its data are not of its shape");
  array.bytes.resize(size);
  file.seekg(data);
  file.read(array.bytes.data(), static_cast<std::streamsize>(size));
  return array;
}

void write_npy(const std::string& path, const float* data, int64_t rows, int64_t columns) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                       std::to_string(columns) + "), }";
  header.resize((header.size() + 10) / 64 * 64 + 64 - 11, ' ');  // the data start at a multiple of 64 bytes
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  file.write("\x93NUMPY\x01\x00", 8);
  file.put(static_cast<char>(header.size() & 255)).put(static_cast<char>(header.size() >> 8)) << header;
  file.write(reinterpret_cast<const char*>(data), rows * columns * static_cast<std::streamsize>(sizeof(float)));
  if (!file.flush()) throw std::runtime_error(path + ": can't be written");
}

std::string describe(const Ort::ConstTensorTypeAndShapeInfo& info) {
  const auto sides = info.GetShape();
  std::vector<const char*> names(sides.size());
  info.GetSymbolicDimensions(names.data(), names.size());
  std::string text;
  for (size_t i = 0; i < sides.size(); ++i)
    text += (i ? ", " : "(") + (sides[i] < 0 ? std::string(names[i]) : std::to_string(sides[i]));
  text += ")";
  for (const auto& [name, element] : kElementTypes)
    if (element.type == info.GetElementType()) text += " " + name;
  return text;
}

void run(int count, char** words) {
  std::map<std::string, Array> given;
  std::string out;
  int64_t best = 5;
  const std::regex number("[0-9]{1,9}");
  for (int i = 2; i < count; ++i) {
    const std::string word = words[i];
    const auto equals = word.find('=');
    if (word == "--best" && i + 1 < count && std::regex_match(words[i + 1], number)) best = std::stoll(words[++i]);
    else if (word == "--out" && i + 1 < count) out = words[++i];
    else if (equals != std::string::npos) given[word.substr(0, equals)] = read_npy(word.substr(equals + 1));
    else throw std::runtime_error("'" + word + "' is neither INPUT=FILE.npy, --best NUMBER nor --out FILE.npy");
  }

  Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "acz");
  Ort::Session session(environment, words[1], Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions allocator;
  const auto hash = session.GetModelMetadata().LookupCustomMetadataMapAllocated("acz.spec_hash", allocator);
  std::cout << "spec " << (hash ? hash.get() : "unknown") << "\n";
  std::vector<std::string> names;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    names.emplace_back(session.GetInputNameAllocated(i, allocator).get());
    const auto type = session.GetInputTypeInfo(i);
    std::cout << "input " << names[i] << " " << describe(type.GetTensorTypeAndShapeInfo()) << "\n";
  }
  const std::string output = session.GetOutputNameAllocated(0, allocator).get();
  const auto output_type = session.GetOutputTypeInfo(0);
  std::cout << "output " << output << " " << describe(output_type.GetTensorTypeAndShapeInfo()) << "\n";
  if (given.empty()) return;

  for (const auto& [name, array] : given)
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw std::runtime_error("the model has no input '" + name + "'");
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<Ort::Value> values;
  std::vector<const char*> input_names;
  for (const auto& name : names) {
    const std::string frames = name.substr(0, name.rfind("_mask"));
    if (!given.count(name) && frames != name && given.count(frames) && given[frames].shape.size() == 3) {
      const auto& shape = given[frames].shape;
      const std::vector<char> all(static_cast<size_t>(shape[0] * shape[1]), 1);
      given[name] = {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, {shape[0], shape[1]}, all};
    }
    if (!given.count(name)) throw std::runtime_error("give the input '" + name + "': " + name + "=FILE.npy");
    auto& array = given[name];
    values.push_back(Ort::Value::CreateTensor(memory, array.bytes.data(), array.bytes.size(), array.shape.data(),
                                              array.shape.size(), array.type));
    input_names.push_back(name.c_str());
  }
  const char* output_name = output.c_str();
  const auto results =
      session.Run(Ort::RunOptions(), input_names.data(), values.data(), values.size(), &output_name, 1);
  const auto shape = results[0].GetTensorTypeAndShapeInfo().GetShape();  // (videos, classes)
  const float* scores = results[0].GetTensorData<float>();
  std::vector<int64_t> labels(static_cast<size_t>(shape[1]));
  best = std::clamp<int64_t>(best, 0, shape[1]);
  for (int64_t video = 0; video < shape[0]; ++video) {
    const float* row = scores + video * shape[1];
    std::iota(labels.begin(), labels.end(), 0);
    std::partial_sort(labels.begin(), labels.begin() + best, labels.end(),
                      [row](int64_t a, int64_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    std::cout << "video " << video;
    for (int64_t k = 0; k < best; ++k) std::cout << "  " << labels[k] << " " << row[labels[k]];
    std::cout << "\n";
  }
  if (!out.empty()) write_npy(out, scores, shape[0], shape[1]);
}

int main(int count, char** words) {
  if (count < 2) {
    std::cerr << "run_onnx MODEL.onnx [INPUT=FILE.npy ...] [--best K] [--out FILE.npy]\n";
    return 2;
  }
  try {
    run(count, words);
  } catch (const std::exception& error) {
    std::cerr << "run_onnx: " << error.what() << "\n";
    return 2;
  }
  return 0;
}
